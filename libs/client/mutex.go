package client

import (
	"context"
	"fmt"
)

// Mutex is a lock that one session at a time holds, in the whole cluster. The
// queue for it is fair: by the revision of asking.
type Mutex struct{ seat }

// NewMutex is the lock of that name, for a session; all sessions that use the
// name contend for it. A name is a key without the last segment, such as
// "/locks/job".
func NewMutex(s *Session, name string) *Mutex { return &Mutex{seat{s: s, name: name}} }

// Lock waits for the lock, as long as ctx and the session live, and returns its
// fence. If it fails, the place in the queue is given up, in the background if
// need be; ErrAlreadyHeld if the session has it or waits for it.
func (m *Mutex) Lock(ctx context.Context) (fence int64, err error) { return m.take(ctx, nil) }

// Unlock gives the lock to the next in line. The lock is not held afterwards,
// whatever the error; where the error says that it is unknown, the session goes
// on giving it up. ErrNotHeld if it was lost before or not held at all.
func (m *Mutex) Unlock(ctx context.Context) error { return m.giveUp(ctx) }

// contender is the key that holds a name, or stands in line for it.
func contender(name string, lease int64) string { return fmt.Sprintf("%s/%016x", name, uint64(lease)) }
