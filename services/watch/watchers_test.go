package watch_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/client"
)

// BenchmarkWatchers measures what a delivery costs this whole process, node,
// fan-out and clients: watches of one key, 100 on each connection.
func BenchmarkWatchers(b *testing.B) {
	for _, watches := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(watches), func(b *testing.B) {
			n := startNode(b)
			start(b, n, "watch-1", 0)
			var delivered atomic.Int64
			var wg sync.WaitGroup
			var c *client.Client
			for i := range watches {
				if i%100 == 0 {
					c = client.New(dial(b, n))
					b.Cleanup(c.Close)
				}
				w, err := c.Watch(b.Context(), client.Key("/db/primary"))
				if err != nil {
					b.Fatal(err)
				}
				wg.Go(func() {
					for r := range w.Revisions() {
						if delivered.Add(1); r.Revision == int64(b.N/watches+1) {
							return
						}
					}
				})
			}
			began := cpu()
			b.ResetTimer()
			for i := range b.N/watches + 1 {
				n.commit("/db/primary")
				for int64(i*watches)-delivered.Load() > int64(64*watches) {
					time.Sleep(50 * time.Microsecond)
				}
			}
			wg.Wait()
			b.ReportMetric(float64(cpu()-began)/float64(delivered.Load()), "cpu-ns/op")
		})
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
