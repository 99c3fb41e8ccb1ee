package sim

import "reflect"

// Shrink looks for smaller options that still make run fail: a shorter time,
// fewer nodes, kinds of faults and groups of clients left out, a milder world.
// It makes at most runsMax runs, and returns the smallest options that failed,
// with their failure. A smaller world is another sequence of chances, so each is
// tried with a few.
func Shrink(o Options, runsMax int, run func(Options) (Report, error)) (Options, error) {
	const salts = 4
	report, err := run(o)
	if err == nil {
		return o, nil
	}
	runs := 1
	fails := func(smaller Options) bool {
		for salt := int64(0); salt < salts && runs < runsMax; salt++ {
			if smaller.Salt = salt; salt == 0 {
				smaller.Salt = o.Salt
			} else if salt == o.Salt {
				continue
			}
			runs++
			if r, e := run(smaller); e != nil {
				o, report, err = smaller, r, e
				return true
			}
		}
		return false
	}
	for again := true; again && runs < runsMax; {
		again = false
		if at := report.SimulatedMillis + 1; at < o.Millis {
			o.Millis = at // nothing before the failure changes
		} else if half := o; half.Millis > 2000 {
			half.Millis /= 2
			again = fails(half)
		}
		count := 0
		o.fields(func(string, reflect.Value) { count++ })
		for i := range count {
			for smaller := range milder(o, i) {
				if runs >= runsMax {
					break
				}
				if fails(smaller) {
					again = true
					break
				}
			}
		}
	}
	return o, err
}

// milder yields the options with a smaller field number i: without what it asks
// for, or as a usual world has it.
func milder(o Options, i int) func(yield func(Options) bool) {
	return func(yield func(Options) bool) {
		at := 0
		o.fields(func(name string, v reflect.Value) {
			if at++; at-1 != i || name == "salt" {
				return
			}
			was := v.Int()
			for _, n := range usual(name) {
				if n == was {
					break // from here on it would be no smaller
				}
				v.SetInt(n)
				if !yield(o) {
					break
				}
			}
			v.SetInt(was)
		})
	}
}

// usual are the values to try for an option, the mildest first.
func usual(name string) []int64 {
	switch name {
	case "nodes":
		return []int64{1, 3}
	case "net-min-micros":
		return []int64{100}
	case "net-max-micros", "log-min-micros":
		return []int64{1000}
	case "log-max-micros":
		return []int64{4000}
	case "checkpoint-millis":
		return []int64{2000}
	case "keep-entries":
		return []int64{10_000}
	case "keep-bytes":
		return []int64{64 << 20}
	case "harm-millis":
		return []int64{10_000, 3000}
	case "think-millis":
		return []int64{2000}
	case "kv", "watchers", "leases", "locks":
		return []int64{0, 1}
	}
	return []int64{0}
}
