// Command bench measures Kvorum beside etcd and NATS JetStream in one run on one
// machine: three servers of each as separate processes with durable writes, the
// same closed-loop work through each system's official Go client, a table for
// each group of rows with ratios, and the goals with how near they are. It is a
// module of its own because it brings in etcd's server
// (go.etcd.io/etcd/server/v3) and nats-server, which it builds and starts as
// they are, and their clients; github.com/HdrHistogram/hdrhistogram-go keeps
// latencies.
//
//	go run . --rows 'put/*,get/64' --time 5s --repeat 3
//
// # How it measures
//
// The systems run one after the other, never at the same time, as often as
// --repeat says; each repeat begins with another system. Figures are medians
// over the repeats with low-high beside them; a ratio is the median of the
// ratios within each repeat. Every measurement has a lead-in of a fifth of its
// time that does not count. What ends inside the time counts.
//
// CPU/10k is user and system seconds of all servers of a system, the fan-outs
// included, for 10,000 operations: on a small machine that also runs the load,
// it decides throughput and is the steadier figure. Driver CPU/10k is the same of
// this program, most of which is the client library's.
//
// So many clients share an eighth as many connections, which begin at the
// servers in turn; one client alone is connected to the leader. The value's size,
// the keys and the number of connections are the same for all systems. A clientv3
// that knows all servers connects to all of them and costs etcd a third more CPU:
// each is given one server, but in the failover rows.
//
// # Rows
//
//   - put, get, get-serializable, range-100, txn-4, compare-and-put, each /CLIENTS:
//     closed loops over random keys. Reads fail unless they find what is there,
//     ranges unless they have 100 keys. txn-4 is two puts and two gets.
//     compare-and-put compares the revision of the client's own key, after a proof
//     that a wrong revision is refused. JetStream's get may be stale and so
//     stands beside the serializable ones.
//   - lease-grant/64; lease-keepalive/64, -leader/64, -follower/64: connections to
//     all nodes, the leader, a follower. An operation is one lease renewed. Each
//     client renews 100 leases at a time in the best way that its protocol has: one
//     request for us; for etcd 100 messages into one stream before the first answer
//     is read, which is what clientv3 does underneath and much cheaper than
//     KeepAliveOnce, which opens a stream a call.
//   - watch-max/N, watch-latency/N: N watchers of one key, 100 on a connection. An
//     operation is one delivery. max has closed-loop writers, 64 for up to 100
//     watchers, else 8; latency one put at a time, 100 a second, for 1000 watchers
//     and more one a second, from the call of the put to the delivery. Every
//     delivery is counted: late ones came after the last put was acknowledged, lost
//     ones not at all, repeated ones twice.
//   - watch-create/N: the time until N watchers are in place, one after the other on
//     each connection and on 100 connections at a time; then one put must reach all
//     of them.
//   - failover-graceful, -kill, -hang: the leader is ended under 16 writers whose
//     calls wait up to 10 s, and what they see is told: the longest gap between
//     acknowledged writes of all and of the worst client, errors, the longest call.
//   - keys-N: a new cluster with N keys: time to write them with 256 clients, in
//     transactions of 100 where there are some, memory after a quiet time, disk,
//     and a cold restart: all killed and started, until every node answers.
//   - idle: CPU while nobody asks; idle-nodes: of the storage nodes without the
//     fan-outs, which run.
//   - limit-...: the machine itself: the disk's sync, NATS without a store.
package main
