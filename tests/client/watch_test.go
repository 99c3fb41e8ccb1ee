package client

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/client"
)

// next takes one revision and shows it as "REVISION KEY...".
func next(t *testing.T, w *client.Watcher) string {
	t.Helper()
	r, err := w.Next(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	s := fmt.Sprint(r.Revision)
	for _, e := range r.Events {
		s += " " + e.KV.Key
	}
	return s
}

func expect(t *testing.T, w *client.Watcher, want ...string) {
	t.Helper()
	for _, x := range want {
		if got := next(t, w); got != x {
			t.Fatalf("got %q, want %q", got, x)
		}
	}
}

func watch(t *testing.T, f *fan, s client.Span, opts ...client.WatchOption) *client.Watcher {
	t.Helper()
	w, err := f.b.client().Watch(deadline(t), s, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func TestWatchLive(t *testing.T) {
	f := newFan(t)
	f.commit(false, "/db/old")
	prefix, key, all := watch(t, f, client.Prefix("/db/")), watch(t, f, client.Key("/db/b")), watch(t, f, client.All())
	odd := watch(t, f, client.Interval("/db/b", "/x"))
	deep := watch(t, f, client.Key(deepKey))
	f.commit(false, "/db/a", "/other", "/db/b")
	f.commit(false, "/other", deepKey)
	f.commit(false, "/db/b")
	expect(t, prefix, "3 /db/a /db/b", "5 /db/b")
	expect(t, key, "3 /db/b", "5 /db/b")
	expect(t, all, "3 /db/a /other /db/b", "4 /other "+deepKey, "5 /db/b")
	expect(t, odd, "3 /other /db/b", "4 /other "+deepKey, "5 /db/b")
	expect(t, deep, "4 "+deepKey)
}

func TestWatchFromHistory(t *testing.T) {
	f := newFan(t)
	for i := range 5 {
		f.commit(true, "/db/a", fmt.Sprintf("/db/%d", i)) // pages of 3 cut revisions
	}
	w := watch(t, f, client.Prefix("/db/"), client.From(3))
	expect(t, w, "3 /db/a /db/1", "4 /db/a /db/2", "5 /db/a /db/3", "6 /db/a /db/4")
	f.commit(false, "/db/z")
	expect(t, w, "7 /db/z")
	if w.Through() != (api.Position{Revision: 7}) {
		t.Fatalf("through %v", w.Through())
	}
}

// TestWatchLosses loses events in the ways that the rules know of.
func TestWatchLosses(t *testing.T) {
	f := newFan(t)
	c := f.b.client()
	w, err := c.Watch(deadline(t), client.Prefix("/db/"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	f.commit(true, "/db/lost")
	f.commit(false, "/db/next") // its Kv-Since tells
	expect(t, w, "2 /db/lost", "3 /db/next")
	f.commit(true, "/db/lost")
	f.tail("kvtail.under.db")
	expect(t, w, "4 /db/lost")
	f.progress()
	f.commit(true, "/db/lost")
	f.set(func() { f.sequence++ }) // a progress message is lost as well
	f.progress()
	expect(t, w, "5 /db/lost")
	f.commit(true, "/db/lost")
	f.b.cut(c)
	expect(t, w, "6 /db/lost")
	f.commit(true, "/db/lost")
	f.set(func() { f.epoch.N++ })
	f.commit(false, "/elsewhere", "/db/next")
	expect(t, w, "7 /db/lost", "8 /db/next")
}

// TestWatchSurvivesTheFanOut: while nothing answers, the watch waits.
func TestWatchSurvivesTheFanOut(t *testing.T) {
	f := newFan(t)
	w := watch(t, f, client.All())
	f.set(func() { f.refuse = api.Errorf(api.KindUnavailable, "starting") })
	f.commit(true, "/lost")
	f.tail("kvtail.under")
	f.commit(true, "/lost")
	f.set(func() { f.refuse = nil; f.epoch.Term++ })
	f.progress()
	expect(t, w, "2 /lost", "3 /lost")
}

func TestWatchCompacted(t *testing.T) {
	f := newFan(t)
	for range 10 {
		f.commit(true, "/a")
	}
	f.set(func() { f.compacted = 5 })
	w, err := f.b.client().Watch(deadline(t), client.All(), client.From(4))
	var e *api.Error
	if !errors.Is(err, client.ErrCompacted) || !errors.As(err, &e) || e.Compacted != 5 {
		t.Fatalf("%v %v", w, err)
	}
	expect(t, watch(t, f, client.All(), client.From(5)), "5 /a")
	w = watch(t, f, client.Key("/a"))
	f.set(func() { f.compacted = 20 })
	f.commit(true, "/a")
	f.tail("kvtail.key.a")
	for _, err := range w.Revisions() {
		if !errors.Is(err, client.ErrCompacted) {
			t.Fatalf("%v", err)
		}
	}
}

// TestWatchSlowReader: more is written than a watch holds, and all of it arrives.
func TestWatchSlowReader(t *testing.T) {
	f := newFan(t)
	f.set(func() { f.limit, f.value = 20, make([]byte, 64<<10) })
	w := watch(t, f, client.All())
	const revisions = 400
	for range revisions {
		f.commit(false, "/k")
	}
	if err := f.b.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	f.tail("kvtail.under")
	for i := range revisions {
		r, err := w.Next(deadline(t))
		if err != nil || r.Revision != int64(i)+2 {
			t.Fatalf("revision %d: %v %v", i+2, r.Revision, err)
		}
	}
}

func TestWatchEnds(t *testing.T) {
	f := newFan(t)
	c := f.b.client()
	first, err := c.Watch(deadline(t), client.All())
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(deadline(t))
	w, err := c.Watch(ctx, client.All())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := w.Next(deadline(t)); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	w.Close()
	w, err = c.Watch(deadline(t), client.All())
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	for range w.Revisions() {
		t.Fatal("a closed watch gives something")
	}
	for runtime.NumGoroutine() > before { // a hang is what fails
		runtime.Gosched()
	}
	if n := c.Conn().NumSubscriptions(); n > 1 {
		t.Fatalf("%d subscriptions are left", n)
	}
	w, err = c.Watch(deadline(t), client.All())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := w.Next(deadline(t)); !errors.Is(err, client.ErrUnavailable) {
		t.Fatalf("%v", err)
	}
}

func TestWatchWithoutFanOut(t *testing.T) {
	b := newBus(t)
	if _, err := b.client(client.Timeout(1)).Watch(deadline(t), client.All()); !errors.Is(err, client.ErrUnavailable) {
		t.Fatalf("%v", err)
	}
}

func TestHistory(t *testing.T) {
	f := newFan(t)
	for range 5 {
		f.commit(true, "/a", "/b")
	}
	n := 0
	for e, err := range f.b.client().History(deadline(t), client.Key("/b"), 3) {
		if err != nil || e.Position != (api.Position{Revision: int64(n) + 3, Sub: 1}) || !e.Created() {
			t.Fatalf("%+v %v", e, err)
		}
		n++
	}
	if n != 4 {
		t.Fatalf("%d events", n)
	}
}
