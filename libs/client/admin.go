package client

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// statusPatience bounds the wait for each node in StatusAll: one that is down
// does not answer at all.
const statusPatience = time.Second

// Compact forgets what only reads below a revision can see. With physical it
// returns when the space can be used again. The revision compacted to is
// returned.
func (c *Client) Compact(ctx context.Context, revision int64, physical bool) (int64, error) {
	var resp kvpb.CompactResponse
	err := c.Call(ctx, api.SubjectCompact, &kvpb.CompactRequest{Revision: revision, Physical: physical}, &resp)
	return resp.GetCompacted(), err
}

// Status is what one node knows of itself and of the others, whichever answers.
func (c *Client) Status(ctx context.Context) (*kvpb.StatusResponse, error) {
	return c.status(ctx, api.SubjectStatus)
}

// StatusOf is the status that the node of that name gives.
func (c *Client) StatusOf(ctx context.Context, node string) (*kvpb.StatusResponse, error) {
	if node == "" || strings.ContainsAny(node, " .*>\t\r\n") {
		return nil, api.Errorf(api.KindBadRequest, "%q is no node name", node)
	}
	return c.status(ctx, api.SubjectStatus+"."+node)
}

func (c *Client) status(ctx context.Context, subject string) (*kvpb.StatusResponse, error) {
	var resp kvpb.StatusResponse
	if err := c.Call(ctx, subject, &kvpb.StatusRequest{}, &resp); err != nil {
		return nil, err
	}
	return &resp, nil
}

// NodeStatus is one node's own status, or why it gave none.
type NodeStatus struct {
	Member *kvpb.Member
	Status *kvpb.StatusResponse // nil if Err is not
	Err    error
}

// StatusAll asks every member that the first answering node knows, at the same
// time; one that does not answer within a second has an error.
func (c *Client) StatusAll(ctx context.Context) ([]NodeStatus, error) {
	first, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	members := first.GetMembers()
	list := make([]NodeStatus, len(members))
	var wait sync.WaitGroup
	for i, m := range members {
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, statusPatience)
			defer cancel()
			list[i].Member = m
			list[i].Status, list[i].Err = c.StatusOf(ctx, m.GetName())
		})
	}
	wait.Wait()
	return list, nil
}
