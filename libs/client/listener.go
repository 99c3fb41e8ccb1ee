package client

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client/watchstate"
)

// watchMessages bounds the messages between the connection and the watches of a
// client, which take them at once whatever their readers do; a burst past the
// bound is lost and read again from the history.
const watchMessages = 8192

// sharedEvents is how many events are kept as readers were given them,
// sharedBytes bounds their values.
const (
	sharedEvents = 128
	sharedBytes  = 4 << 10
)

// listener gives the watches of a client what its connection hears for them.
// Watches of the same scope share its subscriptions: each message crosses the
// network and is decoded once. Everything comes through one channel, which keeps
// the order in which the publisher sent.
type listener struct {
	link     *link
	nc       *nats.Conn
	messages chan *nats.Msg
	stop     chan struct{}
	given    [sharedEvents]atomic.Pointer[shared] // by revision

	mu       sync.Mutex // before that of a Watcher
	progress *nats.Subscription
	dropped  int                           // progress messages that did not fit, as last seen
	topics   map[string]*topic             // by the subject of their events
	subs     map[*nats.Subscription]*topic // by those of their events and tails
}

// topic is what is heard of a scope.
type topic struct {
	subject      string // of the events
	depth        int
	events, tail *nats.Subscription
	dropped      int        // messages that did not fit, as last seen
	watches      []*Watcher // each knows its place
}

// shared is an event that is all of its revision, as readers are given it.
type shared struct {
	from   *kvpb.Event
	events []Event
}

// listen adds a watch to the listener, and begins one for the first watch.
func (c *Client) listen(w *Watcher) error {
	c.listening.Lock()
	defer c.listening.Unlock()
	l := c.listener
	if l == nil {
		l = &listener{link: c.link, nc: c.nc, messages: make(chan *nats.Msg, watchMessages), stop: make(chan struct{}),
			topics: make(map[string]*topic), subs: make(map[*nats.Subscription]*topic)}
		link := l.link.current()
		if err := l.subscribe(api.SubjectProgress, &l.progress); err != nil {
			return err
		}
		go l.run(link)
		c.listener = l
	}
	err := l.add(w)
	c.rest()
	return err
}

// ignore takes a watch out of the listener, which ends with the last.
func (c *Client) ignore(w *Watcher) {
	c.listening.Lock()
	defer c.listening.Unlock()
	c.listener.remove(w)
	c.rest()
}

// rest ends the listener if nobody listens.
func (c *Client) rest() {
	if l := c.listener; len(l.topics) == 0 {
		unsubscribe(l.progress)
		close(l.stop)
		c.listener = nil
	}
}

func (l *listener) subscribe(subject string, to **nats.Subscription) (err error) {
	if *to, err = l.nc.ChanSubscribe(subject, l.messages); err != nil {
		return api.Errorf(api.KindUnavailable, "cannot subscribe to %s: %v", subject, err)
	}
	return nil
}

func unsubscribe(sub *nats.Subscription) {
	if sub != nil {
		_ = sub.Unsubscribe() // fails only where the connection is gone, and it with it
	}
}

func (l *listener) add(w *Watcher) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[w.scope.Events]
	if t == nil {
		t = &topic{subject: w.scope.Events, depth: w.scope.Depth}
		err := l.subscribe(w.scope.Events, &t.events)
		if err == nil {
			err = l.subscribe(w.scope.Tail, &t.tail)
		}
		if err != nil {
			unsubscribe(t.events)
			return err
		}
		l.topics[t.subject], l.subs[t.events], l.subs[t.tail] = t, t, t
	}
	w.listener, w.topic, w.place = l, t, len(t.watches)
	t.watches = append(t.watches, w)
	return nil
}

func (l *listener) remove(w *Watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, last := w.topic, len(w.topic.watches)-1
	t.watches[w.place] = t.watches[last]
	t.watches[w.place].place = w.place
	t.watches[last] = nil
	t.watches = t.watches[:last]
	if last == 0 {
		unsubscribe(t.events)
		unsubscribe(t.tail)
		delete(l.topics, t.subject)
		delete(l.subs, t.events)
		delete(l.subs, t.tail)
	}
}

// run gives out what comes, until nobody listens or the client is closed.
func (l *listener) run(link context.Context) {
	for {
		select {
		case <-l.stop:
			return
		case <-l.link.closed.Done():
			for _, w := range l.all() {
				w.end(errConnectionClosed)
			}
			return
		case <-link.Done():
			link = l.link.current()
			for _, w := range l.all() {
				w.step((*watchstate.State).Interrupted)
			}
		case m := <-l.messages:
			l.receive(m)
		}
	}
}

func (l *listener) all() (list []*Watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.topics {
		list = append(list, t.watches...)
	}
	return list
}

// receive gives a message to the watches that it is for.
func (l *listener) receive(m *nats.Msg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.Sub == l.progress {
		lost := increased(&l.dropped, l.progress)
		p, err := watchstate.ParseProgress(m.Header)
		for _, t := range l.topics {
			if missed := increased(&t.dropped, t.events, t.tail); missed || lost {
				t.give((*watchstate.State).Interrupted)
			}
			give(t, err, func(s *watchstate.State) { s.Progress(p) })
		}
		return
	}
	switch t := l.subs[m.Sub]; {
	case t == nil: // nobody listens any more
	case m.Sub == t.events:
		e, err := watchstate.ParseLive(m.Subject, m.Header, m.Data, t.depth)
		give(t, err, func(s *watchstate.State) { s.Live(e) })
	default:
		end, err := watchstate.ParseTail(m.Header)
		give(t, err, func(s *watchstate.State) { s.Tail(end) })
	}
}

// give gives a message to the watches of a topic. One that cannot be read is as
// good as lost.
func give(t *topic, err error, message func(*watchstate.State)) {
	if err != nil {
		message = (*watchstate.State).Interrupted
	}
	t.give(message)
}

func (t *topic) give(message func(*watchstate.State)) {
	for _, w := range t.watches {
		w.step(message)
	}
}

// begin begins a question and the same one of all others that have it.
func (l *listener) begin(first asked) []asked {
	list := []asked{first}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range first.w.topic.watches {
		if a, ok := w.begin(&first); ok {
			list = append(list, a)
		}
	}
	return list
}

// increased tells that subscriptions lost messages since it was last asked.
func increased(seen *int, subs ...*nats.Subscription) bool {
	sum := 0
	for _, sub := range subs {
		n, _ := sub.Dropped() // fails only where the subscription is gone
		sum += n
	}
	before := *seen
	*seen = sum
	return sum != before
}

// revision is what a reader is given. Readers of one event, who are at it at
// about the same time, share it.
func (l *listener) revision(r watchstate.Revision) Revision {
	e := r.Events[0]
	if len(r.Events) > 1 || len(e.GetKv().GetValue()) > sharedBytes {
		return revisionOf(r)
	}
	at := &l.given[r.Revision%sharedEvents]
	s := at.Load()
	if s == nil || s.from != e {
		s = &shared{e, revisionOf(r).Events}
		at.Store(s)
	}
	return Revision{Revision: r.Revision, Events: s.events}
}

func revisionOf(r watchstate.Revision) Revision {
	list := make([]Event, len(r.Events))
	for i, e := range r.Events {
		list[i] = eventOf(e)
	}
	return Revision{Revision: r.Revision, Events: list}
}
