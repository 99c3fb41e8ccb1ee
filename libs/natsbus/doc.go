// Package natsbus connects the parts of a cluster by two embedded NATS servers.
//
// The peer bus (StartPeer) is private to the storage nodes: it carries Raft's
// messages, snapshots and requests passed from one node to another. No client
// can reach it: its client listener is on loopback and admits connections from
// inside the process only, and a route needs the cluster's secret. Each kind of
// traffic has an account of its own; Raft's messages and snapshots also have
// their own route connections, so that a snapshot cannot delay a heartbeat.
//
// The client bus (StartClient) is public: clients, the services that answer
// them and the fan-out meet there. What happens on it, floods and slow readers
// included, cannot touch consensus, because it is another server with other
// connections.
//
// Guarantees: a message is delivered unaltered or not at all, to the node it
// names, in the cluster it names; every queue and window has a bound in
// limits.go. Not guaranteed: delivery itself. Messages of one sender to one
// receiver stay in order while their connection holds; Raft and the requests'
// callers repeat what is lost.
package natsbus
