package natsbus

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// outbox holds the frames that wait for one peer: any number of senders add,
// one goroutine takes all there is.
type outbox struct {
	wake chan struct{} // holds one token while there is something to take

	mu     sync.Mutex
	frames [][]byte // not empty; messages are added to the last one
	bytes  int      // in frames
	spare  []byte   // memory for the next frame
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

// add encodes the messages. It returns false where one did not fit; those
// before it stay.
func (o *outbox) add(msgs []*raftpb.Message) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range msgs {
		size := framePrefixBytes + proto.Size(m)
		if size > framePrefixBytes+MaxMessageBytes || o.bytes+size > PeerQueueBytes {
			return false
		}
		last := len(o.frames) - 1
		if last < 0 || len(o.frames[last])+size > FrameGoalBytes {
			o.frames = append(o.frames, openFrame(o.spare))
			o.spare = nil
			last++
		}
		frame, err := appendMessage(o.frames[last], m)
		o.frames[last] = frame
		if err != nil {
			return false
		}
		o.bytes += size
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return true
}

// take empties the outbox.
func (o *outbox) take() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	frames := o.frames
	o.frames, o.bytes = nil, 0
	return frames
}

// recycle gives a frame's memory back, unless it is larger than frames are.
func (o *outbox) recycle(frame []byte) {
	if cap(frame) > FrameGoalBytes {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spare = frame
}

// send publishes what is in a peer's outbox until the bus is closed. Whatever
// came together while the last publish ran goes out as one.
func (b *PeerBus) send(p *peer) {
	subject := subjectFrame + fmt.Sprint(p.id)
	to := address{cluster: b.cfg.ClusterID, sender: b.cfg.NodeID, target: p.id}
	unchecked := 0
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-p.out.wake:
		}
		for _, frame := range p.out.take() {
			sealFrame(frame, to)
			if err := b.raft.Publish(subject, frame); err != nil && b.ctx.Err() == nil {
				b.server.log.Warn("peer bus: publish", "peer", p.name, "error", err)
			}
			if unchecked += len(frame); unchecked > routeCheckBytes {
				unchecked = 0
				b.awaitBacklog(p)
			}
			p.out.recycle(frame)
		}
	}
}

// awaitBacklog returns when the server holds at most RouteBacklogBytes for the
// peer. The server itself knows no bound for a route.
func (b *PeerBus) awaitBacklog(p *peer) {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for b.backlog(p) > RouteBacklogBytes {
		select {
		case <-b.ctx.Done():
			return
		case <-poll.C:
		}
	}
}

func (b *PeerBus) backlog(p *peer) int {
	for _, r := range b.routes(p) {
		if r.Account == accountRaft {
			return r.Pending
		}
	}
	return 0
}

// routes are the server's connections to the peer's server.
func (b *PeerBus) routes(p *peer) []*server.RouteInfo {
	all, err := b.server.srv.Routez(nil)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(all.Routes, func(r *server.RouteInfo) bool { return r.RemoteName != p.name })
}
