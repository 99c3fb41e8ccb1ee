package natsbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
)

// SnapshotHandler takes a snapshot from another node. It reads r to its end;
// any error of r means that the snapshot is not whole. What it returns is what
// SendSnapshot returns on the other node. ctx ends with the peer bus.
type SnapshotHandler func(ctx context.Context, from uint64, header []byte, r io.Reader) error

// HandleSnapshot sets what takes snapshots; before that they are refused. It
// runs on a goroutine of its own, one at a time: while it runs further
// snapshots are refused.
func (b *PeerBus) HandleSnapshot(f SnapshotHandler) { b.snapshot.Store(&f) }

var errNotRead = errors.New("the handler returned before the end of the snapshot")

// openSnapshot accepts or refuses a stream.
func (b *PeerBus) openSnapshot(m *nats.Msg) {
	s, err := b.acceptSnapshot(m)
	if err != nil {
		_ = m.RespondMsg(&nats.Msg{Header: nats.Header{headerStep: {stepResult}}, Data: []byte(err.Error())})
		return
	}
	err = b.goroutine(func() {
		defer s.close()
		result := b.receiveSnapshot(s, m.Data)
		b.snapshotIn.Store(false) // before the sender knows: it may start the next one at once
		_ = s.publish(stepResult, result)
	})
	if err != nil {
		s.close()
	}
}

func (b *PeerBus) acceptSnapshot(m *nats.Msg) (*stream, error) {
	if len(m.Data) < openHeaderBytes || binary.BigEndian.Uint64(m.Data[8:]) != b.cfg.ClusterID {
		return nil, errors.New("not a snapshot of this cluster")
	}
	if b.peers[binary.BigEndian.Uint64(m.Data)] == nil {
		return nil, errors.New("unknown sender")
	}
	if b.snapshot.Load() == nil {
		return nil, errors.New("not ready for snapshots")
	}
	if !b.snapshotIn.CompareAndSwap(false, true) {
		return nil, errors.New("busy with another snapshot")
	}
	s, err := newStream(b.snap, m.Reply, b.snapshotIdle)
	if err != nil {
		b.snapshotIn.Store(false)
	}
	return s, err
}

// receiveSnapshot runs the handler and returns the body of the result.
func (b *PeerBus) receiveSnapshot(s *stream, open []byte) []byte {
	from := binary.BigEndian.Uint64(open)
	r := &snapshotReader{ctx: b.ctx, s: s}
	stop := r.keepAlive()
	err := s.publish(stepAccept, nil)
	if err == nil {
		err = (*b.snapshot.Load())(b.ctx, from, open[openHeaderBytes:], r)
	}
	stop()
	if err == nil && r.err != io.EOF {
		err = errNotRead
	}
	switch {
	case err == nil:
		return nil
	case err.Error() == "":
		return []byte("failed")
	}
	return []byte(err.Error())
}

// snapshotReader gives the chunks in order; only the handler's goroutine
// touches it, the ticker apart.
type snapshotReader struct {
	ctx  context.Context
	s    *stream
	rest []byte // of the last chunk
	n    uint64 // its number
	err  error  // for ever, once set
}

// Read implements io.Reader. io.EOF means that all of the snapshot was read.
func (r *snapshotReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil {
		r.rest, r.err = r.nextChunk()
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *snapshotReader) nextChunk() ([]byte, error) {
	step, m, err := r.s.next(r.ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("receive snapshot: %w", err)
	case step == stepAbort:
		return nil, fmt.Errorf("receive snapshot: the sender gave up: %s", m.Data)
	case step == stepEnd && len(m.Data) == 8 && binary.BigEndian.Uint64(m.Data) == r.n:
		return nil, io.EOF
	case step != stepChunk:
		return nil, fmt.Errorf("receive snapshot: unexpected step %q after chunk %d", step, r.n)
	}
	data, err := openChunk(m.Data, r.n+1)
	if err != nil {
		return nil, fmt.Errorf("receive snapshot: %w", err)
	}
	r.n++
	return data, r.s.publish(stepAck, binary.BigEndian.AppendUint64(nil, r.n))
}

// keepAlive tells the sender that the handler works, and has the server tell
// this side when the sender is gone, until stop is called.
func (r *snapshotReader) keepAlive() (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(r.s.idle / 10)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_ = r.s.publish(stepAck, make([]byte, 8)) // acknowledges nothing new
			}
		}
	}()
	return func() { close(done); <-stopped }
}
