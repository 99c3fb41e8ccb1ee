package mvcc

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/kvorum/kvorum/libs/core/store/memstore"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// TestScripts runs testdata/scripts. Requests are written as prototext, one a line.
//
//	new [dedup-ids=N] [dedup-bytes=N] [dedup-result=N] [delete-keys=N] [lease-keys=N] [answer-bytes=N] [events=N]
//	apply            commands; a line "--" begins the next entry, "" an empty entry;
//	                 "expire-lease ID [INDEX.COMMAND]" is an expiry of the grant there, or of the last one
//	check            commands, refused or not before they reach the log
//	range, txn       reads of the published state
//	events after=R.S [key=K] [end=K] [limit=N] [bytes=N] [prev]
//	lease id=HEX [keys], leases [after=HEX] [limit=N], contenders name=K [limit=N]
//	timers           those of the state, which are those that apply has told of
//	state            published state
//	restart          open the machine again at the published index
//	trim max=N, discard
//	changes          first and last revisions and blocks of the change records
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := &script{}
		s.reset(defaultLimits)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return s.run(t, d) })
	})
}

type script struct {
	node   *memstore.Store
	m      *Machine
	limits limits
	timers timers
}

func (s *script) reset(l limits) {
	s.limits, s.node, s.timers = l, memstore.New(nil), timers{}
	s.m, _ = open(s.node.State(), 0, l)
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	var out strings.Builder
	switch d.Cmd {
	case "new":
		l := defaultLimits
		for name, to := range map[string]*int{
			"dedup-ids": &l.dedupIDs, "dedup-bytes": &l.dedupBytes, "dedup-result": &l.dedupResult,
			"delete-keys": &l.deleteKeys, "lease-keys": &l.leaseKeys, "answer-bytes": &l.answerBytes, "events": &l.events,
		} {
			d.MaybeScanArgs(t, name, to)
		}
		s.reset(l)
	case "apply":
		s.apply(t, d.Input, &out)
	case "check":
		for _, line := range strings.Split(d.Input, "\n") {
			fmt.Fprintln(&out, showError(Check(parse(t, line, &command.Command{}))))
		}
	case "range":
		for _, line := range strings.Split(d.Input, "\n") {
			resp, err := s.m.Published().Range(parse(t, line, &kvpb.RangeRequest{}))
			if err != nil {
				fmt.Fprintln(&out, showError(err))
				continue
			}
			fmt.Fprintln(&out, showRange(resp))
		}
	case "txn":
		resp, err := s.m.Published().Txn(parse(t, d.Input, &kvpb.TxnRequest{}))
		if err != nil {
			return showError(err) + "\n"
		}
		showTxn(&out, resp, "")
	case "events":
		s.events(t, d, &out)
	case "restart":
		m, err := open(s.node.State(), s.m.Published().Index, s.limits)
		if err != nil {
			return err.Error() + "\n"
		}
		if m.Published().Digest != s.m.Published().Digest {
			return "another digest after the restart\n"
		}
		s.m = m
		if !scanTimers(t, m.Published()).same(s.timers) {
			return "other timers after the restart\n"
		}
	case "lease", "leases", "contenders", "timers":
		s.leases(t, d, &out)
	case "state":
		p := s.m.Published()
		fmt.Fprintf(&out, "index %d term %d revision %d compacted %d discard %d.%d\n",
			p.Index, p.Term, p.Revision, p.Compacted, s.m.Published().DiscardTS.Index(), s.m.Published().DiscardTS%store.MaxCommands)
	case "trim":
		n := 0
		d.ScanArgs(t, "max", &n)
		more, err := s.m.Trim(n)
		fmt.Fprintf(&out, "more %v %v\n", more, showError(err))
	case "discard":
		s.node.State().Discard(s.m.Published().DiscardTS)
	case "changes":
		view, _ := s.node.State().Read(s.m.Published().TS)
		defer view.Close()
		it := view.Scan([]byte{prefixChange}, []byte{prefixChange + 1}, false)
		for it.Next() {
			r, _ := changeRecordAt(it)
			fmt.Fprintf(&out, "%d-%d/%d ", r.first, r.last, r.block)
		}
		fmt.Fprintln(&out)
	default:
		t.Fatalf("unknown directive %q", d.Cmd)
	}
	return out.String()
}

func (s *script) apply(t *testing.T, input string, out *strings.Builder) {
	e := Entry{Index: s.m.Published().Index + 1, Term: 1}
	var entries []Entry
	for _, line := range strings.Split(input, "\n") {
		if line == "--" {
			entries, e = append(entries, e), Entry{Index: e.Index + 1, Term: 1}
		} else if line != "" {
			e.Commands = append(e.Commands, s.command(t, line))
		}
	}
	entries = append(entries, e)
	applied, err := s.m.Apply(entries)
	if err != nil {
		fmt.Fprintln(out, "fatal:", err)
		return
	}
	for i, results := range applied.Results {
		if len(results) == 0 {
			fmt.Fprintf(out, "entry %d is empty\n", entries[i].Index)
		}
		for n := range results {
			showResult(out, &results[n])
		}
	}
	for _, timer := range applied.Timers {
		fmt.Fprintln(out, showTimer(timer))
	}
	s.timers.add(applied.Timers)
}

func (s *script) command(t *testing.T, line string) *command.Command {
	text, found := strings.CutPrefix(line, "expire-lease ")
	if !found {
		return parse(t, line, &command.Command{})
	}
	id, at, found := strings.Cut(text, " ")
	e := &command.Expire{Lease: hexID(t, id)}
	if e.Granted = s.timers[leaseTimer(e.Lease)].Generation; found {
		var index, n int
		if _, err := fmt.Sscanf(at, "%d.%d", &index, &n); err != nil {
			t.Fatal(err)
		}
		e.Granted = uint64(store.At(uint64(index), n))
	}
	return &command.Command{Op: &command.Command_Expire{Expire: e}}
}

func hexID(t *testing.T, text string) int64 {
	id, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(id)
}

func (s *script) leases(t *testing.T, d *datadriven.TestData, out *strings.Builder) {
	p := s.m.Published()
	id, name, limit := "0", "", 0
	d.MaybeScanArgs(t, "id", &id)
	d.MaybeScanArgs(t, "after", &id)
	d.MaybeScanArgs(t, "name", &name)
	d.MaybeScanArgs(t, "limit", &limit)
	var err error
	switch d.Cmd {
	case "lease":
		var info *kvpb.LeaseInfoResponse
		if info, err = p.Lease(hexID(t, id), d.HasArg("keys")); err == nil {
			fmt.Fprintf(out, "lease %x at %d: ttl %d left %d keys %q\n", uint64(info.Id), info.Revision, info.TtlMillis, info.LeftMillis, info.Keys)
		}
	case "leases":
		var list *kvpb.LeaseListResponse
		if list, err = p.Leases(hexID(t, id), int64(limit)); err == nil {
			for _, id := range list.Ids {
				fmt.Fprintf(out, "%x ", uint64(id))
			}
			fmt.Fprintf(out, "at %d more %v\n", list.Revision, list.More)
		}
	case "contenders":
		var kvs []*kvpb.KeyValue
		if kvs, err = p.Contenders([]byte(name), limit); err == nil {
			fmt.Fprintln(out, showKVs(kvs))
		}
	case "timers":
		now := scanTimers(t, p)
		for _, id := range slices.Sorted(maps.Keys(now)) {
			fmt.Fprintln(out, showTimer(now[id]))
		}
		if !now.same(s.timers) {
			fmt.Fprintln(out, "which is not what apply has told of")
		}
	}
	if err != nil {
		fmt.Fprintln(out, showError(err))
	}
}

func (s *script) events(t *testing.T, d *datadriven.TestData, out *strings.Builder) {
	var after, key, end string
	q := EventQuery{PrevKV: d.HasArg("prev")}
	d.ScanArgs(t, "after", &after)
	d.MaybeScanArgs(t, "key", &key)
	d.MaybeScanArgs(t, "end", &end)
	d.MaybeScanArgs(t, "limit", &q.Limit)
	d.MaybeScanArgs(t, "bytes", &q.MaxBytes)
	q.Key, q.RangeEnd = []byte(key), []byte(strings.ReplaceAll(end, "MAX", "\x00"))
	var err error
	if q.After, err = api.ParsePosition(after); err != nil {
		t.Fatal(err)
	}
	page, err := s.m.Published().Events(q)
	if err != nil {
		fmt.Fprintln(out, showError(err))
		return
	}
	for _, e := range page.Events {
		fmt.Fprintln(out, showEvent(e))
	}
	fmt.Fprintf(out, "through %s more %v\n", showPosition(page.Through), page.More)
}

func parse[M proto.Message](t *testing.T, text string, m M) M {
	t.Helper()
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

func lines(text string) []string { return strings.Split(text, "\n") }
