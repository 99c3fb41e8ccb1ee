package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/kvorum/kvorum/libs/core/store"
)

// watchedLog tells of damage that raft meets: it would send a snapshot instead
// of the damaged entries, and nobody would know.
type watchedLog struct {
	store.Log
	damaged func(error)
}

// Entries implements raft.Storage.
func (l watchedLog) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	entries, err := l.Log.Entries(lo, hi, maxSize)
	if errors.Is(err, store.ErrCorrupt) {
		l.damaged(err)
	}
	return entries, err
}

// raftLogger writes raft's messages to the node's log: its chatter for
// debugging only, and its panics as panics, which end the process before
// anything wrong is acknowledged.
type raftLogger struct{ log *slog.Logger }

func (l raftLogger) write(level slog.Level, format string, v []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "raft: "+fmt.Sprintf(format, v...))
	}
}

func (l raftLogger) Debug(v ...any)                   { l.write(slog.LevelDebug, "%s", []any{fmt.Sprint(v...)}) }
func (l raftLogger) Debugf(format string, v ...any)   { l.write(slog.LevelDebug, format, v) }
func (l raftLogger) Info(v ...any)                    { l.write(slog.LevelDebug, "%s", []any{fmt.Sprint(v...)}) }
func (l raftLogger) Infof(format string, v ...any)    { l.write(slog.LevelDebug, format, v) }
func (l raftLogger) Warning(v ...any)                 { l.write(slog.LevelWarn, "%s", []any{fmt.Sprint(v...)}) }
func (l raftLogger) Warningf(format string, v ...any) { l.write(slog.LevelWarn, format, v) }
func (l raftLogger) Error(v ...any)                   { l.write(slog.LevelError, "%s", []any{fmt.Sprint(v...)}) }
func (l raftLogger) Errorf(format string, v ...any)   { l.write(slog.LevelError, format, v) }
func (l raftLogger) Fatal(v ...any)                   { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Fatalf(format string, v ...any)   { panic("raft: " + fmt.Sprintf(format, v...)) }
func (l raftLogger) Panic(v ...any)                   { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Panicf(format string, v ...any)   { panic("raft: " + fmt.Sprintf(format, v...)) }
