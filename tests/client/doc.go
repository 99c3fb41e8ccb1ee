// Package client tests libs/client over a real NATS server, against a fake
// cluster whose answers each test chooses: what a client does when requests are
// lost, refused or answered late cannot be asked of a cluster that works.
package client
