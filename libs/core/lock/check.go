package lock

import (
	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// CheckLock refuses what no state could make right, as do the other checks:
// with bad_key or bad_request.
func CheckLock(r *kvpb.LockRequest) error {
	if err := checkName(r.GetName()); err != nil {
		return err
	}
	ttl := r.GetTtlMillis()
	switch {
	case (r.GetLease() == 0) == (ttl == 0):
		return api.Errorf(api.KindBadRequest, "give either the contender's lease, or a ttl to have one granted")
	case ttl != 0 && (ttl < api.MinLeaseMillis || ttl > api.MaxLeaseMillis):
		return api.Errorf(api.KindBadRequest, "ttl of %d ms: a lease lasts from %d to %d ms", ttl, api.MinLeaseMillis, int64(api.MaxLeaseMillis))
	}
	return checkWait(r.GetWaitMillis())
}

// CheckUnlock is CheckLock for unlock and resign.
func CheckUnlock(r *kvpb.UnlockRequest) error {
	return checkHolder(r.GetName(), r.GetLease(), r.GetFence())
}

// CheckProclaim is CheckLock for proclaim.
func CheckProclaim(r *kvpb.ProclaimRequest) error {
	if r.GetFence() == 0 {
		return api.Errorf(api.KindBadRequest, "a proclamation needs the fence that the campaign returned")
	}
	return checkHolder(r.GetName(), r.GetLease(), r.GetFence())
}

// CheckLeader is CheckLock for leader and observe.
func CheckLeader(r *kvpb.LeaderRequest) error {
	if err := checkName(r.GetName()); err != nil {
		return err
	}
	if r.GetAfter() < 0 {
		return api.Errorf(api.KindBadRequest, "after is %d: a revision is not negative", r.GetAfter())
	}
	return checkWait(r.GetWaitMillis())
}

func checkHolder(name []byte, lease, fence int64) error {
	if err := checkName(name); err != nil {
		return err
	}
	if lease == 0 {
		return api.Errorf(api.KindBadRequest, "the lease of the contender is missing")
	}
	if fence < 0 {
		return api.Errorf(api.KindBadRequest, "fence %d: a fence is a revision, not negative", fence)
	}
	return nil
}

func checkWait(millis int64) error {
	if millis < 0 || millis > api.MaxWaitMillis {
		return api.Errorf(api.KindBadRequest, "wait of %d ms: from 0 to %d ms are allowed; ask again to wait longer", millis, api.MaxWaitMillis)
	}
	return nil
}
