package natsbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Whether a peer lives. Its connections close at once when its process dies,
// and the server says so in its log only; a closed connection alone may also be
// a flapping route. So a close makes the node look: a peer is lost when no
// connection to it is left and the server answers "no responders" for it.

// A probe and its answer are the cluster id and the id of the node that sends
// it, 8 bytes each, big-endian.
const probeBytes = 16

// Bounds of confirming a loss. The first question often goes to a connection
// that is just being closed, so it waits for confirmFirst only and each further
// one twice as long; after confirmWithin a peer counts as silent, not as lost.
const (
	confirmFirst  = 2 * time.Millisecond
	confirmWithin = 2 * time.Second
	probeTimeout  = 200 * time.Millisecond
)

// routeClosed is called by the server's log.
func (b *PeerBus) routeClosed(remote string) {
	for _, p := range b.peers {
		if remote != "" && remote != p.name {
			continue
		}
		select {
		case p.trigger <- struct{}{}:
		default:
		}
	}
}

func (b *PeerBus) hear(p *peer) { p.heard.Store(int64(time.Since(b.start))) }

// silent is for how long the peer has not been heard; it is since the start of
// the bus for one that never was.
func (b *PeerBus) silent(p *peer) time.Duration {
	return time.Since(b.start) - time.Duration(p.heard.Load())
}

// Reachable reports whether the peer has been heard within ReachableWithin.
func (b *PeerBus) Reachable(id uint64) bool {
	p, ok := b.peers[id]
	return ok && p.heard.Load() != 0 && b.silent(p) < ReachableWithin
}

// watch keeps an eye on one peer: it tells the handler once when the peer is
// lost, and again only after it has been heard since.
func (b *PeerBus) watch(p *peer) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	var lost int64 // p.heard when the loss was told
	report := func() {
		if heard := p.heard.Load(); heard != lost {
			lost = heard
			b.server.log.Info("peer lost: its connections closed and nothing answers for it", "peer", p.name)
			b.handler.PeerLost(p.id)
		}
	}
	reachable := false
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-p.trigger:
			if b.confirmLost(p) {
				report()
			}
		case <-tick.C:
			if b.silent(p) >= probeEvery && b.probe(p, probeTimeout) == probeNobody {
				report()
			}
			if now := b.Reachable(p.id); now != reachable {
				reachable = now
				b.server.log.Info("peer", "peer", p.name, "reachable", now)
			}
		}
	}
}

// confirmLost asks until it is certain that the peer answers or that nothing
// does.
func (b *PeerBus) confirmLost(p *peer) bool {
	timeout := confirmFirst
	for end := time.Now().Add(confirmWithin); time.Now().Before(end); {
		switch b.probe(p, timeout) {
		case probeAnswered:
			return false
		case probeNobody:
			return true
		}
		select { // a probe may fail at once
		case <-b.ctx.Done():
			return false
		case <-time.After(timeout / 2):
		}
		timeout = min(2*timeout, probeTimeout)
	}
	return false
}

type probeResult int

const (
	probeAnswered probeResult = iota
	probeSilent               // no answer, but a connection
	probeNobody               // no subscriber and no connection
)

// probe asks the peer.
func (b *PeerBus) probe(p *peer, timeout time.Duration) probeResult {
	ctx, cancel := context.WithTimeout(b.ctx, timeout)
	defer cancel()
	answer, err := b.raft.RequestWithContext(ctx, subjectProbe+fmt.Sprint(p.id), b.probePayload())
	switch {
	case errors.Is(err, nats.ErrNoResponders) && len(b.routes(p)) == 0:
		return probeNobody
	case err != nil || b.proberOf(answer.Data) != p:
		return probeSilent
	}
	b.hear(p)
	return probeAnswered
}

func (b *PeerBus) probePayload() []byte {
	data := binary.BigEndian.AppendUint64(make([]byte, 0, probeBytes), b.cfg.ClusterID)
	return binary.BigEndian.AppendUint64(data, b.cfg.NodeID)
}

// proberOf is the peer that a probe or an answer is from, or nil.
func (b *PeerBus) proberOf(data []byte) *peer {
	if len(data) != probeBytes || binary.BigEndian.Uint64(data) != b.cfg.ClusterID {
		return nil
	}
	return b.peers[binary.BigEndian.Uint64(data[8:])]
}

func (b *PeerBus) answerProbe(m *nats.Msg) {
	p := b.proberOf(m.Data)
	if p == nil {
		return
	}
	b.hear(p)
	_ = m.Respond(b.probePayload()) // the other side asks again
}
