package mvcc

import "github.com/kvorum/kvorum/libs/api"

// MaxExpireKeys bounds the keys of one command.Expire: bad_request. Together they
// are bounded by api.MaxRequestBytes like those of any command: too_large.
const MaxExpireKeys = 1000

// Bounds of what one call does or takes, beyond those of package api.
const (
	// sortBytesMax bounds the keys and values gathered to sort a range by
	// something other than its keys: too_large.
	sortBytesMax = 64 << 20
	// eventScanMax is how many changes one call of Events looks at.
	eventScanMax = 20_000
	// eventPageMax is how many events one call of Events gives by default.
	eventPageMax = 10_000
	// segmentKeysMax is how many live keys are counted together.
	segmentKeysMax = 128
	// leaseListMax is how many ids one call of Leases gives.
	leaseListMax = 10_000
	// principalBytesMax and requestHashBytesMax bound what is remembered with a
	// message id: bad_request.
	principalBytesMax   = 256
	requestHashBytesMax = 64
)

// limits are the bounds that tests make small. All but events and segmentKeys change what an
// entry does: they are the same on every node, and a version of the program
// that changes one must tell old entries from new ones.
type limits struct {
	dedupIDs    int // remembered ids, at least 2
	dedupBytes  int // slot.counted of all of them together
	dedupResult int // largest remembered answer
	deleteKeys  int // keys deleted by one command
	leaseKeys   int // keys attached to one lease; not more than deleteKeys
	answerBytes int // results of one command, or page of one range
	events      int // changes looked at by one call of Events
	segmentKeys int // live keys counted together; at least 4
}

var defaultLimits = limits{
	dedupIDs:    api.DedupWindowIDs,
	dedupBytes:  api.DedupWindowBytes,
	dedupResult: api.DedupResultBytes,
	deleteKeys:  api.MaxDeleteKeys,
	leaseKeys:   api.MaxLeaseKeys,
	answerBytes: api.MaxAnswerBytes,
	events:      eventScanMax,
	segmentKeys: segmentKeysMax,
}
