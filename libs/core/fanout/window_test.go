package fanout_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/fanout"
)

// published makes a holder that has published the events.
func published(l fanout.Limits, start api.Position, events ...*kvpb.Event) (*fanout.Publisher, []fanout.Message) {
	p := fanout.NewPublisher(l, start)
	p.Take(api.Epoch{Term: 1, N: 1})
	p.Add(events, api.Position{Revision: events[len(events)-1].Kv.ModRevision, Sub: events[len(events)-1].Sub})
	return p, drain(p)
}

func TestMessages(t *testing.T) {
	gone := put("/db/primary", 9, 0, true)
	gone.Type, gone.Kv = kvpb.Event_DELETE, &kvpb.KeyValue{Key: gone.Kv.Key, ModRevision: 9}
	long := "/db/" + strings.Repeat("x", 1100)
	p, all := published(fanout.Limits{}, api.Position{Revision: 3},
		put("/db/primary", 7, 0, false), put("/other", 7, 1, false), put("/db/standby", 7, 2, true),
		put("foo", 8, 0, true), gone, put(long, 10, 0, true))
	want := []string{
		"kvwatch.db.primary put 7.0 3.0+ 3.0+ 3.0 lease 00000000000f7f3a",
		"kvwatch.other put 7.1 7.0+ 3.0 lease 00000000000f7f3a",
		"kvwatch.db.standby put 7.2 7.1 7.0 3.0 lease 00000000000f7f3a",
		"kvwatch.~.foo put 8.0 7.2 3.0 3.0 lease 00000000000f7f3a",
		"kvwatch.db.primary delete 9.0 8.0 7.2 7.0 lease ",
		"kvwatch.db.%~ put 10.0 9.0 9.0 3.0 lease 00000000000f7f3a",
	}
	var got []string
	for _, m := range all {
		if strings.HasPrefix(m.Subject, api.SubjectWatch) {
			h := func(name string) string { return strings.Join(m.Header[name], "") }
			got = append(got, fmt.Sprintf("%s %s %s.%s %s lease %s", m.Subject, h(api.HeaderEvent),
				h(api.HeaderRevision), h(api.HeaderSub), h(api.HeaderSince), h(api.HeaderLease)))
		}
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("published\n%s\nwant\n%s", g, w)
	}
	if k := all[len(all)-1].Header[api.HeaderKey]; len(k) != 1 || k[0] != long {
		t.Errorf("Kv-Key %q", k)
	}

	p.Beat()
	var tails []string
	for _, m := range drain(p) {
		tails = append(tails, m.Subject+" "+m.Header[api.HeaderThrough][0])
	}
	wantTails := "kvtail.under 10.0,kvtail.under.db 10.0,kvtail.key.db.primary 9.0,kvtail.key.other 7.1," +
		"kvtail.key.db.standby 7.2,kvtail.under.~ 8.0,kvtail.key.~.foo 8.0,kvprogress 10"
	if g := strings.Join(tails, ","); g != wantTails {
		t.Errorf("tails %s\nwant %s", g, wantTails)
	}
}

func TestHistory(t *testing.T) {
	p, _ := published(fanout.Limits{}, api.End(4),
		put("/a/1", 5, 0, false), put("/b/1", 5, 1, true), put("/a/2", 6, 0, true), put("/a/1", 7, 0, true))
	everything := fanout.Range{Key: []byte{0}, End: []byte{0}}
	a := fanout.Range{Key: []byte("/a/"), End: []byte("/a0")}
	for name, c := range map[string]struct {
		q    fanout.Query
		want string
	}{
		"all":              {fanout.Query{Range: everything, Since: api.End(4), Limit: 9}, "5.0 5.1 6.0 7.0 through 7"},
		"empty range":      {fanout.Query{Since: api.End(4), Limit: 9}, "5.0 5.1 6.0 7.0 through 7"},
		"prefix":           {fanout.Query{Range: a, Since: api.End(4), Limit: 9}, "5.0 6.0 7.0 through 7"},
		"one key":          {fanout.Query{Range: fanout.Range{Key: []byte("/a/1")}, Since: api.End(4), Limit: 9}, "5.0 7.0 through 7"},
		"inside":           {fanout.Query{Range: a, Since: api.Position{Revision: 5}, Limit: 9}, "6.0 7.0 through 7"},
		"cut in revision":  {fanout.Query{Range: everything, Since: api.End(4), Limit: 1}, "5.0 through 5.0 more"},
		"cut at revision":  {fanout.Query{Range: everything, Since: api.End(4), Limit: 2}, "5.0 5.1 through 5 more"},
		"nothing left out": {fanout.Query{Range: a, Since: api.End(5), Limit: 2}, "6.0 7.0 through 7"},
		"bytes":            {fanout.Query{Range: a, Since: api.End(4), Limit: 9, Bytes: 1}, "5.0 through 5.0 more"},
		"up to date":       {fanout.Query{Range: a, Since: api.End(7), Limit: 9}, "through 7"},
		"ahead":            {fanout.Query{Range: a, Since: api.End(9), Limit: 9}, "through 9"},
		"ahead inside":     {fanout.Query{Range: a, Since: api.Position{Revision: 9, Sub: 3}, Limit: 9}, "through 9.3 more"},
		"before":           {fanout.Query{Range: a, Since: api.Position{Revision: 4, Sub: 3}, Limit: 9}, "ask the store"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.q.Bytes == 0 {
				c.q.Bytes = 1 << 20
			}
			if got := pageText(p.View().History(c.q)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	if last := p.View().Last(fanout.Range{Key: []byte("/b/1")}); last != (api.Position{Revision: 5, Sub: 1}) {
		t.Errorf("last of /b/1: %v", last)
	}
	if last := p.View().Last(fanout.Range{Key: []byte("/c")}); last != api.End(4) {
		t.Errorf("last of /c: %v", last)
	}
}

func pageText(page fanout.Page, ok bool) string {
	if !ok {
		return "ask the store"
	}
	var b strings.Builder
	for _, e := range page.Events {
		fmt.Fprintf(&b, "%v ", eventPlace(e).pos)
	}
	fmt.Fprintf(&b, "through %v", page.Through)
	if page.More {
		b.WriteString(" more")
	}
	return b.String()
}

// The window stays within its bounds, and a view does not change while it moves.
func TestWindowIsBounded(t *testing.T) {
	p := fanout.NewPublisher(fanout.Limits{WindowBytes: 1 << 20}, api.Position{})
	p.Take(api.Epoch{Term: 1, N: 1})
	var old *fanout.View
	for r := int64(1); r <= 5000; r++ {
		e := put("/a", r, 0, true)
		e.Kv.Value = make([]byte, 2000)
		p.Add([]*kvpb.Event{e}, api.End(r))
		for p.Batch() != nil {
			p.Done()
		}
		if r == 100 {
			old = p.View()
		}
	}
	v := p.View()
	if kept := v.Through().Revision - v.From().Revision; kept < 300 || kept > 600 {
		t.Errorf("keeps %d events of about 2300 bytes in 1 MiB", kept)
	}
	page, ok := old.History(fanout.Query{Since: api.End(50), Limit: 1000, Bytes: 1 << 30})
	if !ok || len(page.Events) != 50 || page.Through != api.End(100) {
		t.Errorf("the old view: %d events through %v", len(page.Events), page.Through)
	}
}
