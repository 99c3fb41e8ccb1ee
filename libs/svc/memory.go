package svc

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// MemoryLimitBytes and gcPercent say how large a service may become, unless the
// environment sets GOMEMLIMIT and GOGC. The limit is for emergencies: near it the
// collector runs all the time. Under load a service stays far below, since most
// of what lives is a few large buffers: collecting twice as often as Go does by
// itself costs next to nothing.
const (
	MemoryLimitBytes = 400 << 20
	gcPercent        = 50
)

// quietBytes allocated in quietEvery are a service at rest.
const (
	quietBytes = 32 << 20
	quietEvery = 5 * time.Second
)

// boundMemory sets the collector up, and gives the memory of a load that has ended
// back to the system.
func boundMemory(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(MemoryLimitBytes)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	go func() {
		ticker := time.NewTicker(quietEvery)
		defer ticker.Stop()
		allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
		var l load
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			metrics.Read(allocated)
			if l.ended(allocated[0].Value.Uint64()) {
				debug.FreeOSMemory()
			}
		}
	}()
}

// load tells when a load has ended.
type load struct {
	allocated uint64 // bytes, since the process began
	on        bool
}

// ended is called every quietEvery, and is true once after each load.
func (l *load) ended(allocated uint64) bool {
	was := l.on
	l.on = allocated-l.allocated >= quietBytes
	l.allocated = allocated
	return was && !l.on
}
