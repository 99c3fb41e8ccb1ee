package natsbus

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestSnapshotArrivesWhole(t *testing.T) {
	buses, _ := startPeers(t, 2)
	ctx := testContext(t)
	received := make(chan []byte, 1)
	buses[2].HandleSnapshot(func(_ context.Context, from uint64, header []byte, r io.Reader) error {
		if from != 1 || string(header) != "position 9" {
			t.Errorf("from %d, header %q", from, header)
		}
		data, err := io.ReadAll(r)
		received <- data
		return err
	})
	for _, size := range []int{0, 1, SnapshotChunkBytes, SnapshotChunkBytes + 1, 20*SnapshotChunkBytes + 5} {
		want := randomBytes(size)
		if err := buses[1].SendSnapshot(ctx, 2, []byte("position 9"), bytes.NewReader(want)); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if got := first(t, received); !bytes.Equal(got, want) {
			t.Errorf("%d bytes arrived as %d others", size, len(got))
		}
	}
}

func TestSnapshotErrors(t *testing.T) {
	buses, _ := startPeers(t, 2)
	ctx := testContext(t)
	send := func(r io.Reader) error { return buses[1].SendSnapshot(ctx, 2, nil, r) }
	expect := func(err error, text string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %q", err, text)
		}
	}
	expect(send(strings.NewReader("x")), "not ready")
	expect(buses[1].SendSnapshot(ctx, 9, nil, strings.NewReader("x")), errStreamGone.Error())
	expect(buses[1].SendSnapshot(ctx, 2, make([]byte, MaxSnapshotHeaderBytes+1), nil), "header")

	buses[2].HandleSnapshot(func(_ context.Context, _ uint64, _ []byte, r io.Reader) error {
		_, _ = io.ReadAll(r)
		return errors.New("disk full")
	})
	expect(send(bytes.NewReader(randomBytes(3*SnapshotChunkBytes))), "disk full")

	buses[2].HandleSnapshot(func(context.Context, uint64, []byte, io.Reader) error { return nil })
	expect(send(bytes.NewReader(randomBytes(30*SnapshotChunkBytes))), errNotRead.Error())

	received := make(chan error, 1)
	buses[2].HandleSnapshot(func(_ context.Context, _ uint64, _ []byte, r io.Reader) error {
		_, err := io.ReadAll(r)
		received <- err
		return err
	})
	broken := io.MultiReader(bytes.NewReader(randomBytes(SnapshotChunkBytes)), failingReader{})
	expect(send(broken), "bad sector")
	expect(first(t, received), "gave up: bad sector")
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("bad sector") }

// endless gives bytes until the test ends.
type endless struct{ started chan struct{} }

func (e endless) Read(p []byte) (int, error) {
	select {
	case e.started <- struct{}{}:
	default:
	}
	return len(p), nil
}

func TestSnapshotOneAtATimeAndHeartbeatsPass(t *testing.T) {
	buses, sinks := startPeers(t, 3)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	running := make(chan struct{})
	ended := make(chan error, 1)
	buses[2].HandleSnapshot(func(_ context.Context, _ uint64, _ []byte, r io.Reader) error {
		close(running)
		_, err := io.Copy(io.Discard, r)
		ended <- err
		return err
	})
	sender := make(chan error, 1)
	go func() { sender <- buses[1].SendSnapshot(ctx, 2, nil, endless{}) }()
	<-running
	err := buses[3].SendSnapshot(ctx, 2, nil, strings.NewReader("x"))
	if err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("a second snapshot: %v", err)
	}
	for i := range uint64(1000) {
		if !buses[1].Send(2, []*raftpb.Message{raftMessage(i)}) {
			t.Fatal("a heartbeat did not fit")
		}
	}
	mustEventually(t, "messages beside a snapshot", func() bool { return sinks[2].count(1) == 1000 })
	cancel()
	if err := <-sender; !errors.Is(err, context.Canceled) {
		t.Errorf("sender: %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the receiver took a part for the whole")
	}
}

func TestSnapshotEndsWhenTheOtherSideDies(t *testing.T) {
	for _, dies := range []uint64{1, 2} {
		buses, _ := startPeers(t, 2)
		e := endless{make(chan struct{}, 1)}
		received, sent := make(chan error, 1), make(chan error, 1)
		buses[2].HandleSnapshot(func(_ context.Context, _ uint64, _ []byte, r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			received <- err
			return err
		})
		go func() { sent <- buses[1].SendSnapshot(context.Background(), 2, nil, e) }()
		<-e.started
		buses[dies].Close()
		for side, err := range map[string]chan error{"sender": sent, "receiver": received} {
			select {
			case err := <-err:
				if err == nil {
					t.Errorf("%d dies: the %s saw no error", dies, side)
				}
			case <-time.After(patience):
				t.Errorf("%d dies: the %s hangs", dies, side)
			}
		}
	}
}

// A side that is there but silent is given up after the idle time; a handler
// that works for longer than that is not.
func TestSnapshotIdle(t *testing.T) {
	buses, _ := startPeers(t, 2)
	for _, b := range buses {
		b.snapshotIdle = 300 * time.Millisecond
	}
	received := make(chan error, 1)
	var slow atomic.Int64
	slow.Store(int64(2 * buses[1].snapshotIdle))
	buses[2].HandleSnapshot(func(_ context.Context, _ uint64, _ []byte, r io.Reader) error {
		_, err := io.ReadAll(r)
		time.Sleep(time.Duration(slow.Load())) // work, not synchronisation
		received <- err
		return err
	})
	if err := buses[1].SendSnapshot(testContext(t), 2, nil, strings.NewReader("x")); err != nil || first(t, received) != nil {
		t.Errorf("slow handler: %v", err)
	}
	slow.Store(0)
	silent, feed := io.Pipe()
	go func() { _ = buses[1].SendSnapshot(testContext(t), 2, nil, silent) }()
	if err := first(t, received); !errors.Is(err, errStreamIdle) {
		t.Errorf("silent sender: %v", err)
	}
	feed.CloseWithError(io.ErrUnexpectedEOF)
}

func FuzzChunk(f *testing.F) {
	f.Add(sealChunk(append(make([]byte, chunkHeaderBytes), "data"...), 3), uint64(3))
	f.Add([]byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, chunk []byte, number uint64) {
		data, err := openChunk(chunk, number)
		if err != nil {
			return
		}
		again := sealChunk(append(make([]byte, chunkHeaderBytes), data...), number)
		if !bytes.Equal(again, chunk) {
			t.Fatalf("%x became %x", chunk, again)
		}
	})
}
