// Package cclient tests that Kvorum needs no client library of its own: testdata/client.c
// puts, gets, runs a transaction and watches with nothing but libnats, the NATS
// client for C.
//
// The test builds the product and the client, starts a cluster with "kvorum
// dev" on free ports and compares what the client prints. Where gcc or libnats
// (Debian: libnats-dev) is missing it is skipped and says so.
package cclient
