package natsbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/nats-io/nats.go"
)

// A snapshot stream, sender on the left. Every message asks for an answer on
// the other side's subject, so that the server says "no responders" there as
// soon as one side is gone.
//
//	open    sender id 8 | cluster id 8 | header      -> snapshot.ID
//	                              <- accept, whose reply subject takes the data; or result
//	chunk   number 8 | crc32c 4 | data               -> data subject
//	                              <- ack: number of the chunk consumed; repeated while the handler works
//	end     number of chunks 8                       ->
//	abort   why                                      ->
//	                              <- result: empty, or the handler's error
//
// At most SnapshotWindow chunks are not acknowledged. The kind is the header
// below, so that the body is the message's alone.
const (
	headerStep = "Step"

	stepAccept = "accept"
	stepAck    = "ack"
	stepResult = "result"
	stepChunk  = "chunk"
	stepEnd    = "end"
	stepAbort  = "abort"

	openHeaderBytes  = 16
	chunkHeaderBytes = 12
	statusHeader     = "Status" // set by the server where nobody listens
)

// streamBuffer holds what may arrive at once: the window, its acks, an end.
const streamBuffer = 64

var (
	errStreamIdle = errors.New("the other side was silent for too long")
	errStreamGone = errors.New("the other side is gone")
)

// stream is one side of a transfer.
type stream struct {
	nc   *nats.Conn
	in   chan *nats.Msg
	sub  *nats.Subscription
	to   string        // subject of the other side
	idle time.Duration // SnapshotIdle, shorter in tests
}

func newStream(nc *nats.Conn, to string, idle time.Duration) (*stream, error) {
	s := &stream{nc: nc, in: make(chan *nats.Msg, streamBuffer), to: to, idle: idle}
	var err error
	s.sub, err = nc.ChanSubscribe(nc.NewInbox(), s.in)
	return s, err
}

func (s *stream) close() { _ = s.sub.Unsubscribe() }

func (s *stream) publish(step string, data []byte) error {
	return s.nc.PublishMsg(&nats.Msg{
		Subject: s.to, Reply: s.sub.Subject, Header: nats.Header{headerStep: {step}}, Data: data,
	})
}

// next waits for the other side's next message.
func (s *stream) next(ctx context.Context) (step string, m *nats.Msg, err error) {
	idle := time.NewTimer(s.idle)
	defer idle.Stop()
	select {
	case m = <-s.in:
	case <-ctx.Done():
		return "", nil, ctx.Err()
	case <-idle.C:
		return "", nil, errStreamIdle
	}
	if m.Header.Get(statusHeader) != "" {
		return "", nil, errStreamGone
	}
	return m.Header.Get(headerStep), m, nil
}

// SendSnapshot sends what r gives to another node and returns when that node's
// handler has: nil, its error, or what went wrong on the way. header is up to
// MaxSnapshotHeaderBytes. r must not be silent for SnapshotIdle.
func (b *PeerBus) SendSnapshot(ctx context.Context, to uint64, header []byte, r io.Reader) error {
	if len(header) > MaxSnapshotHeaderBytes {
		return fmt.Errorf("send snapshot to %d: header of %d bytes, at most %d", to, len(header), MaxSnapshotHeaderBytes)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	s, err := newStream(b.snap, subjectSnapshot+fmt.Sprint(to), b.snapshotIdle)
	if err != nil {
		return fmt.Errorf("send snapshot to %d: %w", to, err)
	}
	defer s.close()
	open := binary.BigEndian.AppendUint64(nil, b.cfg.NodeID)
	open = binary.BigEndian.AppendUint64(open, b.cfg.ClusterID)
	if err := s.send(ctx, append(open, header...), r); err != nil {
		return fmt.Errorf("send snapshot to %d: %w", to, err)
	}
	return nil
}

// send opens the stream, sends the chunks within the window and waits for the result.
func (s *stream) send(ctx context.Context, open []byte, r io.Reader) error {
	if err := s.publish("", open); err != nil {
		return err
	}
	step, m, err := s.next(ctx)
	if err != nil {
		return err
	}
	if step != stepAccept {
		return fmt.Errorf("refused: %s", m.Data)
	}
	s.to = m.Reply
	sent, acked := uint64(0), uint64(0)
	for ended := false; ; {
		for !ended && sent-acked < SnapshotWindow {
			if ended, err = s.sendChunk(r, sent+1); err != nil {
				return err
			}
			if !ended {
				sent++
			}
		}
		step, m, err := s.next(ctx)
		if err != nil {
			_ = s.publish(stepAbort, []byte(err.Error()))
			return err
		}
		switch {
		case step == stepAck && len(m.Data) == 8:
			acked = max(acked, min(sent, binary.BigEndian.Uint64(m.Data)))
		case step == stepResult && len(m.Data) == 0 && ended:
			return nil
		case step == stepResult:
			return fmt.Errorf("the receiver: %s", m.Data)
		}
	}
}

// sendChunk sends the next chunk of r under its number, or the end.
func (s *stream) sendChunk(r io.Reader, number uint64) (ended bool, err error) {
	chunk := make([]byte, chunkHeaderBytes+SnapshotChunkBytes)
	n, err := io.ReadFull(r, chunk[chunkHeaderBytes:])
	switch {
	case err == io.EOF:
		return true, s.publish(stepEnd, binary.BigEndian.AppendUint64(nil, number-1))
	case err != nil && err != io.ErrUnexpectedEOF:
		_ = s.publish(stepAbort, []byte(err.Error()))
		return false, fmt.Errorf("read the snapshot: %w", err)
	}
	return false, s.publish(stepChunk, sealChunk(chunk[:chunkHeaderBytes+n], number))
}

func sealChunk(chunk []byte, number uint64) []byte {
	binary.BigEndian.PutUint64(chunk, number)
	binary.BigEndian.PutUint32(chunk[8:], crc32.Checksum(chunk[chunkHeaderBytes:], castagnoli))
	return chunk
}

// openChunk returns the data of the chunk with that number.
func openChunk(chunk []byte, number uint64) ([]byte, error) {
	if len(chunk) < chunkHeaderBytes {
		return nil, fmt.Errorf("chunk of %d bytes", len(chunk))
	}
	if got := binary.BigEndian.Uint64(chunk); got != number {
		return nil, fmt.Errorf("chunk %d arrived where %d was due", got, number)
	}
	data := chunk[chunkHeaderBytes:]
	if binary.BigEndian.Uint32(chunk[8:]) != crc32.Checksum(data, castagnoli) {
		return nil, fmt.Errorf("chunk %d: checksum", number)
	}
	return data, nil
}
