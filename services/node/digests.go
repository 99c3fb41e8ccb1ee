package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/core/store"
)

const (
	subjectDigest = "digest" // on the peer bus
	digestsEvery  = 5 * time.Second
)

// digestMessage asks for the digest of the state as of an index, and answers
// with it: empty where the node has not come so far or has forgotten it.
type digestMessage struct {
	Index  uint64 `json:"index"`
	Digest string `json:"digest,omitempty"`
}

// watchDigests compares the state with those of the other nodes, every
// digestsEvery and as of the same index: that of the last time, which the
// others have applied by now as well. It stops the node if a majority agrees
// on another digest. The digest is of what every entry did, one after another:
// a state that once went another way never has the others' digest again.
func (n *Node) watchDigests(ctx context.Context) {
	ticker := time.NewTicker(digestsEvery)
	defer ticker.Stop()
	for {
		index := n.published().Index
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		own := n.digestAt(index)
		if own == "" {
			continue
		}
		body, err := json.Marshal(digestMessage{Index: index})
		if err != nil {
			panic(err) // numbers and digits only
		}
		digests := map[uint64]string{}
		for id, raw := range askPeers(ctx, &n.cfg, n.peers, subjectDigest, body) {
			var m digestMessage
			if json.Unmarshal(raw, &m) == nil && m.Index == index && m.Digest != "" {
				digests[id] = m.Digest
			}
		}
		switch others, majority := differ(own, digests, len(n.cfg.Peers)); {
		case majority:
			n.fail(fmt.Errorf("%w: its digest at index %d is %.16s, others have another: %s", errDiverged, index, own, n.named(others)))
			return
		case len(others) > 0:
			n.log.Error("the states of nodes differ, and no majority answers that agrees on one", "index", index, "digest", own[:16], "others", n.named(others))
		}
	}
}

// differ are the nodes whose digest is not own, and whether a majority of all
// has one and the same other.
func differ(own string, digests map[uint64]string, nodes int) (others map[uint64]string, majority bool) {
	others = map[uint64]string{}
	count := map[string]int{}
	for id, d := range digests {
		if d != own {
			others[id] = d
			count[d]++
			majority = majority || count[d] > nodes/2
		}
	}
	return others, majority
}

func (n *Node) named(digests map[uint64]string) string {
	var list []string
	for _, p := range n.cfg.Peers {
		if d := digests[p.ID()]; d != "" {
			list = append(list, fmt.Sprintf("%s %.16s", p.Name, d))
		}
	}
	return strings.Join(list, ", ")
}

// digestAt is the digest as of index in hexadecimal, empty if it is not known.
func (n *Node) digestAt(index uint64) string {
	d, err := n.published().DigestAt(index)
	switch {
	case err == nil:
		return hex.EncodeToString(d[:])
	case errors.Is(err, store.ErrCorrupt):
		n.damaged(err)
	}
	return ""
}

// answerDigest answers another node's question in a goroutine of its own, since
// it reads the state.
func (n *Node) answerDigest(m *nats.Msg) {
	var q digestMessage
	if err := json.Unmarshal(m.Data, &q); err != nil || !n.joined.Load() {
		return // no node of ours, or this one has no state yet
	}
	go func() {
		body, err := json.Marshal(digestMessage{Index: q.Index, Digest: n.digestAt(q.Index)})
		if err != nil {
			panic(err) // numbers and digits only
		}
		_ = m.Respond(body) // a lost answer is asked for again
	}()
}
