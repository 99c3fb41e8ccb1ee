// Command bench measures Kvorum beside etcd and NATS JetStream in one run on one
// machine: three servers of each as separate processes with durable writes, the
// same closed-loop work through each system's official Go client, one table with
// ratios. It is a module of its own because it brings in etcd's server
// (go.etcd.io/etcd/server/v3) and nats-server, which it builds and starts as
// they are, and their clients; github.com/HdrHistogram/hdrhistogram-go keeps
// latencies.
//
//	go run . --rows put,get --clients 1,64 --time 5s --repeat 3
//
// The systems run one after the other, never at the same time, as often as
// --repeat says, in turn; figures are medians over the repeats with the spread
// beside them. "CPU/10k" is user and system seconds of all three servers for
// 10,000 operations: on a small machine that also runs the load, it decides
// throughput and is the steadier figure. Rows that begin with "limit" measure
// the machine itself: the disk's sync, NATS without a store.
package main
