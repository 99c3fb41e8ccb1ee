package node

import (
	"errors"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/core/store"
)

func errNoLeader(what string) error {
	return api.Errorf(api.KindNoLeader, "no quorum of nodes is in contact with a leader, so this %s was not done: try again, and look at `kvorum status` if it lasts", what)
}

func errOutcomeUnknown() error {
	return api.Errorf(api.KindTimeout, "no quorum confirmed the write in time: it may have taken effect or may still do so; repeat it with the same %s to find out", api.HeaderMsgID)
}

// asError gives every error a kind.
func asError(err error) *api.Error {
	var e *api.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, store.ErrCorrupt):
		return api.Errorf(api.KindCorrupt, "this node's data is damaged and it answers no more from it: %v", err)
	case errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrDiscarded):
		return api.Errorf(api.KindUnavailable, "this node is switching to a newer state or stopping: try again")
	}
	return api.Errorf(api.KindInternal, "%v", err)
}
