package natsbus

import (
	"strings"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/nats-io/nats-server/v2/server"
)

// SubjectUnknown is where a request arrives that is on no known operation's
// subject: below it stands the subject as the client sent it, so kv.frobnicate.x
// arrives on kvunknown.kv.frobnicate.x. The service subscribes to
// SubjectUnknown + ">" in a queue group and answers api.KindUnknownOperation;
// without it such a request would get the same "no responders" as a known one
// while nobody can serve it.
const SubjectUnknown = "kvunknown."

// Operations are the subjects of all requests. One that ends in a dot takes a
// key or the name of a lock; for the others see prefixed.
var Operations = []string{
	api.SubjectGet, api.SubjectPut, api.SubjectDelete, api.SubjectTxn, api.SubjectRange,
	api.SubjectList, api.SubjectHistory, api.SubjectSync,
	api.SubjectDeleteRange, api.SubjectCompact, api.SubjectStatus,
	api.SubjectLeaseGrant, api.SubjectLeaseRevoke, api.SubjectLeaseKeepAlive, api.SubjectLeaseInfo, api.SubjectLeaseList,
	api.SubjectLock, api.SubjectUnlock,
	api.SubjectCampaign, api.SubjectProclaim, api.SubjectLeader, api.SubjectObserve, api.SubjectResign,
}

// prefixed are the operations that may, but need not, be followed by a prefix
// or, for the status, by the name of a node.
var prefixed = map[string]bool{api.SubjectList: true, api.SubjectHistory: true, api.SubjectSync: true, api.SubjectStatus: true}

// mapUnknown sets up the account so that requests on unknown subjects arrive
// below SubjectUnknown. Mappings are tried in order, and those of known
// operations change nothing.
func mapUnknown(acc *server.Account) error {
	for _, subject := range mappedSubjects() {
		if err := acc.AddMapping(subject, subject); err != nil {
			return err
		}
	}
	return acc.AddMapping("kv.>", SubjectUnknown+"kv.>")
}

func mappedSubjects() []string {
	var known []string
	for _, op := range Operations {
		if strings.HasSuffix(op, ".") {
			known = append(known, op+">")
			continue
		}
		known = append(known, op)
		if prefixed[op] {
			known = append(known, op+".>")
		}
	}
	return known
}
