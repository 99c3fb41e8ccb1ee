package node

import (
	"context"
	"time"

	"github.com/kvorum/kvorum/libs/core/mvcc"
	"github.com/kvorum/kvorum/libs/core/replica"
)

// watchLag refuses reads that wait too long for the state, and notices when the
// state is behind, as after a long absence: a read that came here would wait in
// vain while another node could answer it. Until the state has caught up with
// what a quorum confirms, this node answers reads only if there is no leader,
// and says that it is not ready. So it begins.
func (n *Node) watchLag(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var probed time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !n.behind.Load() && (n.snapshots.busy.Load() || n.readers.stuck()) {
			n.log.Info("the state is behind: leaving reads to the others")
			n.setBehind(true)
		}
		if n.behind.Load() && time.Since(probed) >= probeEvery {
			probed = time.Now()
			n.read(&readRequest{request: n.internalRequest("probe"), serve: func(*mvcc.Published) (answer, error) {
				if !n.snapshots.busy.Load() && n.behind.Load() {
					n.log.Info("the state keeps up: answering reads")
					n.setBehind(false)
				}
				return answer{}, nil
			}})
		}
		n.readers.expire(n.clock())
	}
}

func (n *Node) setBehind(behind bool) {
	n.behind.Store(behind)
	n.settle()
}

// answersReads reports whether a node takes part in answering reads. One that is
// behind leaves them to the others, if there is a leader whose other followers
// are not. One that was replaced and is not a full member again answers none:
// what it has may be nothing, which is not an old state of the store.
func answersReads(role replica.Role, replaced, behind bool) bool {
	return !replaced && (!behind || role.Leader == 0 || role.Leading)
}
