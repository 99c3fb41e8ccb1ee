package natsbus

import (
	"bytes"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

func encodeFrame(t testing.TB, a address, msgs ...*raftpb.Message) []byte {
	t.Helper()
	frame := openFrame(nil)
	for _, m := range msgs {
		var err error
		if frame, err = appendMessage(frame, m); err != nil {
			t.Fatal(err)
		}
	}
	sealFrame(frame, a)
	return frame
}

func sampleMessages() []*raftpb.Message {
	return []*raftpb.Message{
		raftMessage(1), {},
		{Type: raftpb.MessageType_MsgApp.Enum(), Entries: []*raftpb.Entry{{Data: []byte("entry")}}, Context: []byte("c")},
	}
}

func TestFrameRoundTrip(t *testing.T) {
	a, sent := address{1 << 60, 2, 3}, sampleMessages()
	frame := encodeFrame(t, a, sent...)
	got, msgs, err := decodeFrame(frame)
	if err != nil || got != a || len(msgs) != len(sent) {
		t.Fatalf("%v %d %v", got, len(msgs), err)
	}
	for i := range frame { // the messages share no memory with the frame
		frame[i] = 0xff
	}
	for i := range sent {
		if !proto.Equal(msgs[i], sent[i]) {
			t.Errorf("message %d: %v", i, msgs[i])
		}
	}
}

// Every single damaged bit and every cut is noticed.
func TestFrameDamage(t *testing.T) {
	frame := encodeFrame(t, address{7, 1, 2}, sampleMessages()...)
	for bit := range len(frame) * 8 {
		bad := bytes.Clone(frame)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, _, err := decodeFrame(bad); err == nil {
			t.Errorf("bit %d of byte %d", bit%8, bit/8)
		}
	}
	for n := range frame {
		if _, _, err := decodeFrame(frame[:n]); err == nil {
			t.Errorf("cut to %d bytes", n)
		}
	}
}

// FuzzFrame seals what it is given, so that the fuzzer gets past the checksum.
func FuzzFrame(f *testing.F) {
	f.Add(encodeFrame(f, address{7, 1, 2}, sampleMessages()...), false)
	f.Add(encodeFrame(f, address{7, 1, 2}, sampleMessages()...)[:40], true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal && len(data) >= frameHeaderBytes {
			data = bytes.Clone(data)
			sealFrame(data, address{7, 1, 2})
		}
		a, msgs, err := decodeFrame(data)
		if err != nil {
			return
		}
		b, again, err := decodeFrame(encodeFrame(t, a, msgs...))
		if err != nil || a != b || len(again) != len(msgs) {
			t.Fatalf("%v: %v, %d messages became %d", err, a, len(msgs), len(again))
		}
		for i := range msgs {
			if !proto.Equal(msgs[i], again[i]) {
				t.Fatalf("message %d: %v became %v", i, msgs[i], again[i])
			}
		}
	})
}

func TestOutboxClosesFramesAtTheGoal(t *testing.T) {
	o := newOutbox()
	m := &raftpb.Message{Entries: []*raftpb.Entry{{Data: make([]byte, FrameGoalBytes/4)}}}
	big := &raftpb.Message{Entries: []*raftpb.Entry{{Data: make([]byte, 3*FrameGoalBytes)}}}
	if !o.add([]*raftpb.Message{m, m, m, m, m, big, m}) {
		t.Fatal("refused")
	}
	var counts []int
	for _, frame := range o.take() {
		sealFrame(frame, address{1, 2, 3})
		_, msgs, err := decodeFrame(frame)
		if err != nil {
			t.Fatal(err)
		}
		counts = append(counts, len(msgs))
	}
	if len(counts) != 4 || counts[0] != 3 || counts[1] != 2 || counts[2] != 1 || counts[3] != 1 {
		t.Errorf("frames of %v messages", counts)
	}
	if o.bytes != 0 || len(o.take()) != 0 {
		t.Error("not empty after take")
	}
	if o.add([]*raftpb.Message{{Context: make([]byte, MaxMessageBytes+1)}}) {
		t.Error("took a message past the limit")
	}
}
