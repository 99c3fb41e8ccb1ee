package natsbus

import (
	"slices"
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

// hot are the operations asked most often: the server tries mappings in order,
// so that the first ones are found soonest.
var hot = []string{api.SubjectGet, api.SubjectPut, api.SubjectTxn, api.SubjectRange, api.SubjectList}

// subjectInbox is where answers go.
const subjectInbox = "_INBOX."

// subjectAt is followed by a server's token and the subject of a request that the
// server's own process answers; see AnswerAt.
const subjectAt = "kvat."

// mapUnknown sets up the account so that requests on unknown subjects arrive
// below SubjectUnknown, and so does what a client sends to a node past that
// node's own mapping. Mappings are tried in order, and those of known operations
// change nothing.
func mapUnknown(acc *server.Account) error {
	for _, subject := range mappedSubjects() {
		if err := acc.AddMapping(subject, subject); err != nil {
			return err
		}
	}
	for _, subject := range []string{"kv.>", subjectAt + ">"} {
		if err := acc.AddMapping(subject, SubjectUnknown+subject); err != nil {
			return err
		}
	}
	return nil
}

func mappedSubjects() (known []string) {
	add := func(op string) {
		if strings.HasSuffix(op, ".") {
			known = append(known, op+">")
			return
		}
		known = append(known, op)
		if prefixed[op] {
			known = append(known, op+".>")
		}
	}
	for _, op := range hot {
		add(op)
	}
	add(subjectInbox)
	for _, op := range Operations {
		if !slices.Contains(hot, op) {
			add(op)
		}
	}
	return known
}
