package natsbus

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// Forward passes a client's request to another node and waits for its answer.
// nats.ErrNoResponders means that it certainly did not arrive; after any other
// error it may have. Requests travel apart from Raft's messages.
func (b *PeerBus) Forward(ctx context.Context, to uint64, subject string, header nats.Header, data []byte) (*nats.Msg, error) {
	m := &nats.Msg{Subject: subjectForward + fmt.Sprint(to) + "." + subject, Header: header, Data: data}
	return b.fwd.RequestMsgWithContext(ctx, m)
}

// HandleForward sets what takes the requests that other nodes pass on; before
// that they are dropped. The message's subject is the client's, and Respond
// and RespondMsg answer it. f must return at once: the next request waits.
func (b *PeerBus) HandleForward(f func(*nats.Msg)) { b.forward.Store(&f) }

func (b *PeerBus) receiveForward(m *nats.Msg) {
	f := b.forward.Load()
	if f == nil {
		return
	}
	m.Subject = strings.TrimPrefix(m.Subject, subjectForward+fmt.Sprint(b.cfg.NodeID)+".")
	(*f)(m)
}
