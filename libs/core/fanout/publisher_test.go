package fanout_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/fanout"
)

// run plays a random history and gives the first thing that is wrong with what
// watchers delivered.
func run(seed uint64, mutate func(fanout.Message) bool) error {
	w := newWorld(seed, mutate)
	for range 1500 {
		i := w.IntN(2)
		c := w.IntN(len(w.watchers))
		switch w.IntN(24) {
		case 0, 1, 2:
			w.commit()
		case 3, 4, 5, 6, 7:
			w.feed(i, 1+w.IntN(40))
		case 8, 9, 10, 11, 12, 13:
			w.publish()
			w.heal()
		case 14:
			if w.holder >= 0 {
				w.replicas[w.holder].Beat()
				w.beating = true
			}
		case 15:
			if w.IntN(8) == 0 {
				w.grant(i)
			}
			w.replicas[i].Skip(w.highest) // late, perhaps to the holder
		case 16:
			switch w.IntN(15) {
			case 0:
				w.restart(i)
			case 1:
				w.replicas[i].Reset(api.End(w.revision))
			case 2:
				w.revoke()
			}
		case 17:
			w.cut(c, i)
		case 18:
			if w.watchers[c].asking || w.IntN(10) == 0 {
				w.ask(c) // the answer may be lost: asked again by a timer
			}
		default:
			w.receive(c, w.IntN(10))
		}
	}
	return settle(w)
}

// settle heals everything, lets all of it arrive and checks.
func settle(w *world) error {
	if w.holder < 0 {
		w.grant(w.IntN(2))
	}
	for i := range w.watchers {
		for r := range w.links[i] {
			w.links[i][r].cut = false
		}
	}
	for range 8 {
		r := w.replicas[w.holder]
		for r.Beat(); r.Batch() != nil || api.End(w.revision).After(r.Fed()); {
			w.feed(w.holder, 30)
			w.publish()
		}
		for i, c := range w.watchers {
			for range 100 {
				w.receive(i, 20)
				if c.asking && len(w.links[i][0].inbox)+len(w.links[i][1].inbox) == 0 {
					w.ask(i)
				}
			}
		}
	}
	for _, c := range w.watchers {
		if err := w.check(c); err != nil {
			return err
		}
	}
	return nil
}

func TestWatchersGetEverythingOnceInOrder(t *testing.T) {
	seeds := uint64(200)
	if testing.Short() {
		seeds = 50
	}
	for seed := range seeds {
		if err := run(seed, nil); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// The test above must be able to fail: each of these faults in what is published
// is found within some seeds.
func TestFaultsAreFound(t *testing.T) {
	position := regexp.MustCompile(`\d+\.\d+`)
	since := func(f func(string) string) func(fanout.Message) bool {
		return func(m fanout.Message) bool {
			if s := m.Header[api.HeaderSince]; s != nil {
				m.Header[api.HeaderSince] = []string{f(s[0])}
			}
			return true
		}
	}
	for name, mutate := range map[string]func(fanout.Message) bool{
		"since is always zero": since(func(s string) string { return position.ReplaceAllString(s, "0.0") }),
		"plus is missing":      since(func(s string) string { return strings.ReplaceAll(s, "+", "") }),
		"since of the root is the key's": since(func(s string) string {
			list := strings.Fields(s)
			list[0] = list[len(list)-1]
			return strings.Join(list, " ")
		}),
		"progress is ahead": func(m fanout.Message) bool {
			if m.Subject == api.SubjectProgress {
				p := must(api.ParsePosition(m.Header[api.HeaderThrough][0]))
				m.Header[api.HeaderThrough] = []string{api.End(p.Revision + 1).String()}
			}
			return true
		},
		"no tails": func(m fanout.Message) bool { return !strings.HasPrefix(m.Subject, "kvtail.") },
		"no sequence is left out": func() func(fanout.Message) bool {
			n := make(map[string]int)
			return func(m fanout.Message) bool {
				if m.Subject == api.SubjectProgress {
					epoch := m.Header[api.HeaderEpoch][0]
					n[epoch]++
					m.Header[api.HeaderSequence] = []string{strconv.Itoa(n[epoch])}
				}
				return true
			}
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(500) {
				if err := run(seed, mutate); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Error("not found")
		})
	}
}

// A route that broke and came back since the last progress may have lost a tail:
// the next progress leaves out a number, so that every watch asks.
func TestRoutesThatChanged(t *testing.T) {
	p := fanout.NewPublisher(fanout.Limits{}, api.End(1))
	p.Take(api.Epoch{Term: 1, N: 1})
	routes := uint64(7)
	numbers := func() (list []uint64) {
		for {
			p.Batch()
			p.Over(func() uint64 { return routes })
			batch := p.Batch()
			if batch == nil {
				return list
			}
			for _, m := range batch {
				if m.Subject == api.SubjectProgress {
					n, err := strconv.ParseUint(m.Header[api.HeaderSequence][0], 10, 64)
					if err != nil {
						t.Fatal(err)
					}
					list = append(list, n)
				}
			}
			p.Done()
		}
	}
	beat := func(want uint64) {
		t.Helper()
		p.Beat()
		if got := numbers(); len(got) != 1 || got[0] != want {
			t.Fatalf("progress %v, want %d", got, want)
		}
	}
	first := numbers()[0] // of Take
	beat(first + 1)
	beat(first + 2)
	routes++
	beat(first + 4)
	beat(first + 5)
	p.Beat()
	p.Batch() // made before the change
	routes++
	if got := numbers(); got[0] != first+7 {
		t.Fatalf("progress %v, want %d", got, first+7)
	}
}
