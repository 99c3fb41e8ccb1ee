// Package containers tests the compose stack as its users start it: the real
// docker-compose.yml and Dockerfile, real containers, a real network. It kills
// the leader's container, cuts a node off its network and demands every
// acknowledged write back.
//
// It needs a Docker engine and compose, and runs only where the environment
// sets KVORUM_TEST_CONTAINERS=1, which "make test" does where an engine
// answers. It needs no image registry: README.md tells how.
package containers
