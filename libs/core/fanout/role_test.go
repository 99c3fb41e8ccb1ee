package fanout_test

import (
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/fanout"
)

// drain publishes all there is.
func drain(p *fanout.Publisher) (all []fanout.Message) {
	for m := p.Batch(); m != nil; m = p.Batch() {
		all = append(all, m...)
		p.Done()
	}
	return all
}

// A beat's progress says only what was published, and a batch that is not Done
// is given again with the new epoch.
func TestTakeAfterLose(t *testing.T) {
	p := fanout.NewPublisher(fanout.Limits{}, api.Position{})
	p.Take(api.Epoch{Term: 1, N: 1})
	drain(p)
	p.Add([]*kvpb.Event{put("/a", 5, 0, true)}, api.End(5))
	first := p.Batch()
	if len(first) != 1 || first[0].Header[api.HeaderSince][0] != "0.0 0.0" {
		t.Fatalf("batch %v", first)
	}
	if p.View().Through() != (api.Position{}) {
		t.Error("the view is ahead of Done")
	}
	p.Lose()
	if p.Batch() != nil {
		t.Error("a standby gives a batch")
	}
	p.Take(api.Epoch{Term: 2, N: 1})
	var events []fanout.Message
	for _, m := range drain(p) {
		if m.Subject == "kvwatch.a" {
			events = append(events, m)
		}
	}
	if len(events) != 1 || events[0].Header[api.HeaderEpoch][0] != "2.1" || p.View().Through() != api.End(5) {
		t.Errorf("published %v through %v", events, p.View().Through())
	}
}

// What another holder published before may not have reached the watchers that
// have joined since: a holder publishes it again.
func TestHolderSkipsNothing(t *testing.T) {
	p := fanout.NewPublisher(fanout.Limits{}, api.Position{})
	p.Take(api.Epoch{Term: 1, N: 1})
	drain(p)
	p.Add([]*kvpb.Event{put("/a", 5, 0, true)}, api.End(5))
	p.Skip(api.End(5))
	if all := drain(p); len(all) != 1 || all[0].Subject != "kvwatch.a" {
		t.Errorf("published %v", all)
	}
}

// Tails that were due when the grant ran out are never sent, so the progress
// that would vouch for them leaves out a number, in the same epoch too.
func TestTakeInTheSameEpochLeavesOutASequence(t *testing.T) {
	p := fanout.NewPublisher(fanout.Limits{}, api.Position{})
	p.Take(api.Epoch{Term: 1, N: 1})
	drain(p)
	if p.Sequence() != 1 {
		t.Fatalf("the first sequence is %d", p.Sequence())
	}
	p.Lose()
	p.Take(api.Epoch{Term: 1, N: 1})
	drain(p)
	if p.Sequence() != 3 {
		t.Errorf("sequence %d after 1", p.Sequence())
	}
}

// A standby asks for the grant when it hears of no holder any more, or that one
// gave it up.
func TestStandbyAsks(t *testing.T) {
	const ms = 1_000_000
	r := fanout.NewReplica("a", fanout.Limits{})
	asks := func(now fanout.Instant) bool {
		request, _ := r.Ask(now)
		if request != nil {
			r.Answered(now, &kvpb.GrantResponse{Epoch: &kvpb.Epoch{Term: 1, N: 1}}, false)
		}
		return request != nil
	}
	if !asks(1 * ms) {
		t.Error("does not ask at first")
	}
	r.Begin(api.Position{})
	r.Progress(api.End(3), 10*ms)
	if asks(11*ms) || asks(259*ms) {
		t.Error("asks while another publishes")
	}
	if !asks(500 * ms) {
		t.Error("does not ask when nobody publishes")
	}
	r.Progress(api.End(4), 600*ms)
	r.Released()
	if !asks(601 * ms) {
		t.Error("does not ask when the grant was given up")
	}
	r.Progress(api.End(4), 700*ms)
	request, _ := r.Ask(1100 * ms)
	r.Answered(1100*ms, &kvpb.GrantResponse{Granted: true, ForMillis: 500, Epoch: &kvpb.Epoch{Term: 1, N: 2}}, false)
	r.Progress(api.End(4), 1110*ms) // the last one of the holder before
	if request == nil || !asks(1120*ms) {
		t.Error("a holder does not ask to go on")
	}
}

func TestAnotherLeaderIsAskedForTheFeed(t *testing.T) {
	r := fanout.NewReplica("a", fanout.Limits{})
	for _, c := range []struct {
		term  uint64
		again bool
	}{{2, true}, {2, false}, {0, false}, {2, false}, {3, true}} {
		var answer *kvpb.GrantResponse
		if c.term > 0 {
			answer = &kvpb.GrantResponse{Epoch: &kvpb.Epoch{Term: c.term, N: 1}}
		}
		if again := r.Answered(0, answer, false); again != c.again {
			t.Errorf("an answer of term %d: again is %t", c.term, again)
		}
	}
}
