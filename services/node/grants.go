package node

import (
	"sync"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/grant"
	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// grants gives the right to publish to one fan-out replica at a time. Every
// answer follows a quorum round, so a leader that was deposed gives none.
type grants struct {
	node  *Node
	mu    sync.Mutex
	rules grant.Leader
}

func (g *grants) onRole(role replica.Role) {
	if role.Serving {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.rules.Lead(role.Term, g.node.clock())
	}
}

func (g *grants) serve(m *nats.Msg) {
	req := &kvpb.GrantRequest{}
	if err := proto.Unmarshal(m.Data, req); err != nil || req.Replica == "" {
		respondError(m, api.Errorf(api.KindBadRequest, "the grant request is malformed"))
		return
	}
	r := &readRequest{request: g.node.newRequest(m, "grant")}
	r.serve = func(*mvcc.Published) (answer, error) { return g.answer(req) }
	g.node.read(r)
}

func (g *grants) answer(req *kvpb.GrantRequest) (answer, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.node.consensus.role.Load().Serving {
		return answer{}, errNoLeader("grant")
	}
	body, err := proto.Marshal(g.rules.Answer(req, g.node.clock()))
	return answer{body: body}, err
}
