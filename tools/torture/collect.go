//go:build linux

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client"
)

// collector reads the history of a phase while it is made, so that clients may
// compact what it has.
type collector struct {
	c     *client.Client
	start *kvpb.RangeResponse // the store before the first event

	mu      sync.Mutex
	events  []*kvpb.Event
	through api.Position
}

// everything is the range of all keys.
func everything() *kvpb.RangeRequest {
	return &kvpb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}
}

// newCollector begins after what the store has now.
func newCollector(ctx context.Context, c *client.Client) (*collector, error) {
	start := &kvpb.RangeResponse{}
	if err := c.Call(ctx, api.SubjectRange, everything(), start); err != nil {
		return nil, err
	}
	if start.More {
		return nil, fmt.Errorf("the store has grown past one answer: %d keys", start.Count)
	}
	return &collector{c: c, start: start, through: api.End(start.Revision)}, nil
}

// revision is the last one that was collected whole.
func (c *collector) revision() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.through.Revision - 1
}

// run collects until ctx ends; while the fan-outs are broken it has to wait.
func (c *collector) run(ctx context.Context) {
	for ctx.Err() == nil {
		more, err := c.page(ctx)
		if err != nil || !more {
			select {
			case <-ctx.Done():
			case <-time.After(300 * time.Millisecond):
			}
		}
	}
}

// page collects one page.
func (c *collector) page(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	resp, err := c.history(ctx, c.through)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, resp.Events...)
	c.through = api.Position{Revision: resp.Through.GetRevision(), Sub: resp.Through.GetSub()}
	return resp.More, nil
}

func (c *collector) history(ctx context.Context, since api.Position) (*kvpb.HistoryResponse, error) {
	all, resp := everything(), &kvpb.HistoryResponse{}
	req := &kvpb.HistoryRequest{Key: all.Key, RangeEnd: all.RangeEnd, Since: &kvpb.Position{Revision: since.Revision, Sub: since.Sub}}
	return resp, c.c.Call(ctx, api.SubjectHistory, req, resp)
}

// finish collects up to the last revision of a store that nobody writes to any
// more, and returns that store. What is not compacted is read once more from the
// beginning: what was told while members failed must be what is told now.
func (c *collector) finish(ctx context.Context) (*kvpb.RangeResponse, error) {
	end := &kvpb.RangeResponse{}
	if err := c.c.Call(ctx, api.SubjectRange, everything(), end); err != nil {
		return nil, fmt.Errorf("reading the store after the phase: %w", err)
	}
	for more := true; more || c.through.Revision < end.Revision; {
		var err error
		if more, err = c.page(ctx); err != nil {
			return nil, fmt.Errorf("reading the history after the phase: %w", err)
		}
	}
	status, err := c.c.Status(ctx)
	if err != nil {
		return nil, err
	}
	from := api.End(max(c.start.Revision, status.Compacted))
	i := 0
	for i < len(c.events) && !positionOf(c.events[i]).After(from) {
		i++
	}
	for more := true; more || from.Revision < end.Revision; {
		page, err := c.history(ctx, from)
		if err != nil {
			return nil, fmt.Errorf("reading the history once more from %v: %w", from, err)
		}
		for _, e := range page.Events {
			if i == len(c.events) || !proto.Equal(e, c.events[i]) {
				return nil, fmt.Errorf("the history had %v, and has %v now", c.events[min(i, len(c.events)-1)], e)
			}
			i++
		}
		more = page.More
		from = api.Position{Revision: page.Through.GetRevision(), Sub: page.Through.GetSub()}
	}
	if i != len(c.events) {
		return nil, fmt.Errorf("the history had %v, which is not in it now", c.events[i])
	}
	return end, nil
}

func positionOf(e *kvpb.Event) api.Position {
	return api.Position{Revision: e.GetKv().GetModRevision(), Sub: e.GetSub()}
}
