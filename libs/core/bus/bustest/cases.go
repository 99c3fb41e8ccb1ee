package bustest

import (
	"bytes"
	"testing"

	"github.com/kvorum/kvorum/libs/core/bus"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

func testRightNode(t *testing.T, start Start) {
	n, got := three(t, start)
	for from := uint64(1); from <= 3; from++ {
		for to := uint64(1); to <= 3; to++ {
			if from != to {
				mustSend(t, n, from, to, message(from, to, 10*from+to, nil))
			}
		}
	}
	mustWait(t, n, "two messages for each", func() bool {
		return got[1].total() >= 2 && got[2].total() >= 2 && got[3].total() >= 2
	})
	for to, r := range got {
		for from := uint64(1); from <= 3; from++ {
			msgs := r.from(from)
			if from == to {
				if len(msgs) != 0 {
					t.Errorf("%d got %d messages from itself", to, len(msgs))
				}
				continue
			}
			if len(msgs) != 1 || msgs[0].GetIndex() != 10*from+to {
				t.Errorf("%d got %v from %d", to, msgs, from)
			}
		}
	}
}

func testOrder(t *testing.T, start Start) {
	const count = 2000
	n, got := three(t, start)
	index := uint64(0)
	for size := 1; index < count; size = size%7 + 1 {
		var msgs []*raftpb.Message
		for range size {
			index++
			msgs = append(msgs, message(1, 2, index, nil))
		}
		mustSend(t, n, 1, 2, msgs...)
		mustSend(t, n, 3, 2, message(3, 2, index, nil))
	}
	mustWait(t, n, "all messages", func() bool { return len(got[2].from(1)) >= int(index) })
	for i, m := range got[2].from(1) {
		if m.GetIndex() != uint64(i)+1 {
			t.Fatalf("message %d arrived in place %d", m.GetIndex(), i+1)
		}
	}
}

func testBatch(t *testing.T, start Start) {
	n, got := three(t, start)
	var sent []*raftpb.Message
	for i := range uint64(300) {
		sent = append(sent, message(1, 3, i, bytes.Repeat([]byte{byte(i)}, int(i)*20)))
	}
	mustSend(t, n, 1, 3, sent...)
	mustWait(t, n, "the batch", func() bool { return len(got[3].from(1)) >= len(sent) })
	for i, m := range got[3].from(1) {
		if !proto.Equal(m, sent[i]) {
			t.Fatalf("message %d arrived as another", i)
		}
	}
}

func testBig(t *testing.T, start Start) {
	n, got := three(t, start)
	big := message(2, 1, 1, bytes.Repeat([]byte("0123456789abcdef"), 7<<20/16))
	mustSend(t, n, 2, 1, message(2, 1, 0, nil), big, message(2, 1, 2, nil))
	mustWait(t, n, "the big message", func() bool { return len(got[1].from(2)) >= 3 })
	if msgs := got[1].from(2); !proto.Equal(msgs[1], big) || msgs[2].GetIndex() != 2 {
		t.Fatal("the big message arrived as another")
	}
}

// testBounded sends more at once than any queue may hold; the memory is shared.
func testBounded(t *testing.T, start Start) {
	const batch, batches = 64, 16 // of 1 MiB
	n, got := three(t, start)
	m := message(1, 2, 1, make([]byte, 1<<20))
	var msgs []*raftpb.Message
	for range batch {
		msgs = append(msgs, m)
	}
	refused := false
	for i := 0; i < batches && !refused; i++ {
		refused = !n.Transport(key(1)).Send(2, msgs)
	}
	if !refused {
		t.Fatalf("took %d MiB at once", batch*batches)
	}
	mustWait(t, n, "a message after the flood", func() bool {
		n.Transport(key(1)).Send(2, []*raftpb.Message{message(1, 2, 77, nil)})
		msgs := got[2].from(1)
		return len(msgs) > 0 && msgs[len(msgs)-1].GetIndex() == 77
	})
}

func testLost(t *testing.T, start Start) {
	n, got := three(t, start)
	mustSend(t, n, 1, 2, message(1, 2, 1, nil))
	mustSend(t, n, 3, 2, message(3, 2, 1, nil))
	mustSend(t, n, 2, 1, message(2, 1, 1, nil))
	mustSend(t, n, 2, 3, message(2, 3, 1, nil))
	mustWait(t, n, "messages before the close", func() bool {
		return got[2].total() >= 2 && got[1].total() >= 1 && got[3].total() >= 1
	})
	for id, r := range got {
		if lost := r.lostPeers(); len(lost) > 0 {
			t.Fatalf("%d was told of lost peers %v while all lived", id, lost)
		}
	}
	n.Close(key(2))
	mustWait(t, n, "PeerLost", func() bool { return len(got[1].lostPeers()) > 0 && len(got[3].lostPeers()) > 0 })
	mustSend(t, n, 1, 3, message(1, 3, 9, nil))
	mustWait(t, n, "a message after the close", func() bool { return len(got[3].from(1)) > 0 })
	for _, id := range []uint64{1, 3} {
		for _, lost := range got[id].lostPeers() {
			if lost != 2 {
				t.Errorf("%d was told that %d is lost", id, lost)
			}
		}
	}
}

func testOtherCluster(t *testing.T, start Start) {
	const other = cluster + 1
	var mine, theirs recorder
	nodes := map[NodeKey]bus.Handler{
		{cluster, 1}: &mine, {cluster, 2}: &recorder{},
		{other, 1}: &theirs, {other, 2}: &recorder{},
	}
	n := start(t, nodes)
	n.Transport(NodeKey{other, 2}).Send(1, []*raftpb.Message{message(2, 1, 66, nil)})
	mustSend(t, n, 2, 1, message(2, 1, 1, nil))
	mustWait(t, n, "each cluster's own message", func() bool { return mine.total() >= 1 && theirs.total() >= 1 })
	if msgs := mine.from(2); len(msgs) != 1 || msgs[0].GetIndex() != 1 {
		t.Errorf("got a message of another cluster: %v", msgs)
	}
	if msgs := theirs.from(2); len(msgs) != 1 || msgs[0].GetIndex() != 66 {
		t.Errorf("the other cluster got %v", msgs)
	}
}
