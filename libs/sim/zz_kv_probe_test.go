package sim

import ("testing";"os";"strconv";"time")

func TestKVProbe(t *testing.T) {
	from, _ := strconv.Atoi(os.Getenv("KVFROM"))
	to, _ := strconv.Atoi(os.Getenv("KVTO"))
	var all Report
	start := time.Now()
	for seed := from; seed < to; seed++ {
		o := Draw(uint64(seed), 30_000)
		o.Leases, o.Locks, o.Watchers = 0,0,0
		o.KV = max(o.KV, 2)
		r, err := Run(o)
		if err != nil { s := err.Error(); if len(s) > 1500 { s = s[:1500] }; t.Errorf("%v", s) }
		all.Add(r)
	}
	t.Logf("%+v", all)
	t.Logf("%.0f x", float64(all.SimulatedMillis)/1000/time.Since(start).Seconds())
}
