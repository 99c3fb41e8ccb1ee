package sim

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"

	"github.com/kvorum/kvorum/libs/core/replica"
)

// Options say what a run is like. They are plain data: Draw makes them from a
// seed, Flags tells where they differ from what Draw makes, Set changes one.
type Options struct {
	Seed   uint64
	Millis int64 // virtual time under faults; healing comes after it
	Salt   int64 // other chances in the same world

	Nodes int64 // storage nodes, all of them voters

	// The network between nodes, while no fault makes it worse. The last three
	// are per mille of the batches.
	NetMinMicros, NetMaxMicros        int64
	NetLoss, NetDuplicate, NetReorder int64
	// How long a durable write of the log takes, and applying an entry; now and
	// then, in per cent, applying takes twenty times as long.
	LogMinMicros, LogMaxMicros int64
	ApplyMaxMicros, ApplySlow  int64
	// ClockPPM is by how many millionths the monotonic clocks of nodes run
	// fast or slow, each by an amount of its own that changes.
	ClockPPM int64

	// How often a node takes a checkpoint, how many entries and bytes of its log
	// it keeps behind that, and how many revisions of history are kept (0: all).
	CheckpointMillis       int64
	KeepEntries, KeepBytes int64
	KeepRevisions          int64
	// Bounds within a node; 0 is what is shipped. See replica.Tuning.
	EntryBytes, EntryCommands, ProposeBytes, QueueCommands       int64
	MessageBytes, InflightMessages, UncommittedBytes, ApplyBytes int64
	ElectionTicks, QuorumSilenceMillis, DiskSilenceMillis        int64
	GatherMicros, NoticeMicros                                   int64

	// Load of each group of clients, 0 for none.
	KV, Watchers, Leases, Locks int64
	// ThinkMillis is how long a client of the store rests between two requests,
	// at most.
	ThinkMillis int64

	// HarmMillis is the mean time between two faults; the others are the weights
	// of their kinds (see faults). HealCore heals only a quorum at the end.
	HarmMillis int64
	HealCore   int64
	Faults     Weights
}

// Weights say how often each kind of fault happens, compared with the others.
type Weights struct {
	Kill, PowerCut, KillAll, PowerCutAll     int64
	Pause, PauseLong, PauseAll               int64
	Partition, Halves, BadNetwork            int64
	SlowDisk, HungDisk, FullDisk, FailedDisk int64
	BitRot, LostDisk                         int64
	ClockJump                                int64
	FanoutKill, FanoutPause, FanoutCut       int64
}

// Draw makes the options of a seed: most runs are small and mild in most
// respects, some are extreme in some.
func Draw(seed uint64, millis int64) Options {
	rng := rand.New(rand.NewPCG(seed, 0x0971015))
	pick := func(of ...int64) int64 { return of[rng.IntN(len(of))] }
	o := Options{
		Seed: seed, Millis: millis,
		Nodes:          pick(1, 3, 3, 3, 3, 3, 3, 5, 5),
		NetMinMicros:   pick(50, 100, 100, 500),
		NetMaxMicros:   pick(200, 1000, 1000, 3000, 10_000),
		NetLoss:        pick(0, 0, 0, 1, 10),
		NetDuplicate:   pick(0, 0, 0, 1, 20),
		NetReorder:     pick(0, 0, 0, 10, 100),
		LogMinMicros:   pick(50, 500, 1000),
		LogMaxMicros:   pick(1000, 4000, 4000, 20_000),
		ApplyMaxMicros: pick(0, 200, 2000, 2000),
		ApplySlow:      pick(0, 1, 5),
		ClockPPM:       pick(0, 100, 1000, 20_000),

		CheckpointMillis: pick(100, 500, 2000, 5000),
		KeepEntries:      pick(1, 10, 100, 1000, 10_000),
		KeepBytes:        pick(1<<10, 64<<10, 64<<20),
		KeepRevisions:    pick(0, 20, 100, 1000),
		EntryBytes:       pick(0, 0, 200, 2000),
		EntryCommands:    pick(0, 0, 1, 3),
		ProposeBytes:     pick(0, 0, 0, 500),
		QueueCommands:    pick(0, 0, 0, 10),
		UncommittedBytes: pick(0, 0, 0, 2000),
		MessageBytes:     pick(0, 0, 300, 4000),
		InflightMessages: pick(0, 0, 2, 8),
		ApplyBytes:       pick(0, 0, 500, 5000),

		KV:          pick(0, 1, 1, 1, 2, 2, 4),
		ThinkMillis: pick(50, 200, 500, 1000, 2000, 2000),
		Watchers:    pick(0, 0, 1, 1, 2),
		Leases:      pick(0, 0, 0, 1, 1, 2),
		Locks:       pick(0, 0, 0, 1, 1, 2),

		HarmMillis: pick(500, 1500, 3000, 5000, 10_000),
		HealCore:   pick(0, 1),
	}
	if o.KV+o.Watchers+o.Leases+o.Locks == 0 {
		o.KV = 1
	}
	// Each kind of fault is left out of a third of the runs, so that some runs
	// show one kind alone for long enough to do its worst.
	w := reflect.ValueOf(&o.Faults).Elem()
	for i := range w.NumField() {
		w.Field(i).SetInt(pick(0, 1, 3))
	}
	o.ElectionTicks = pick(0, 0, 0, 6, 60)
	o.QuorumSilenceMillis = pick(0, 0, 100, 3000)
	o.DiskSilenceMillis = pick(0, 0, 200, 3000)
	o.GatherMicros = pick(0, 0, 1, 100_000)
	o.NoticeMicros = pick(0, 0, 1, 100_000)
	return o
}

// tuning are the bounds within a node.
func (o *Options) tuning() replica.Tuning {
	return replica.Tuning{
		EntryBytes: int(o.EntryBytes), EntryCommands: int(o.EntryCommands), ProposeBytes: int(o.ProposeBytes), Queue: int(o.QueueCommands),
		MessageBytes: uint64(o.MessageBytes), InflightMessages: int(o.InflightMessages),
		UncommittedBytes: uint64(o.UncommittedBytes), ApplyBytes: uint64(o.ApplyBytes),
		ElectionTicks: int(o.ElectionTicks), QuorumSilence: o.QuorumSilenceMillis * ms, DiskSilence: o.DiskSilenceMillis * ms,
		GatherDelay: o.GatherMicros * ms / 1000, NoticeDelay: o.NoticeMicros * ms / 1000,
	}
}

// retention says how much of its log a node keeps.
func (o *Options) retention() replica.Retention {
	return replica.Retention{Entries: uint64(o.KeepEntries), EntryBytes: uint64(o.KeepBytes), Bytes: uint64(o.KeepBytes)}
}

// fields calls fn with every option that may be set, by its name on the
// command line.
func (o *Options) fields(fn func(name string, v reflect.Value)) {
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		for i := range v.NumField() {
			switch f := v.Type().Field(i); {
			case f.Type.Kind() == reflect.Struct:
				walk(v.Field(i))
			case f.Name != "Seed" && f.Name != "Millis":
				fn(flagName(f.Name), v.Field(i))
			}
		}
	}
	walk(reflect.ValueOf(o).Elem())
}

// flagName makes net-min-micros of NetMinMicros.
func flagName(field string) string {
	var b strings.Builder
	for i, c := range field {
		upper := c >= 'A' && c <= 'Z'
		if upper && i > 0 && !(field[i-1] >= 'A' && field[i-1] <= 'Z') {
			b.WriteByte('-')
		}
		b.WriteRune(c)
	}
	return strings.ToLower(b.String())
}

// Names are those of all options that can be set.
func Names() (names []string) {
	new(Options).fields(func(name string, _ reflect.Value) { names = append(names, name) })
	return names
}

// Set changes an option, given as name=value. It fails for one that does not
// exist, and where the value is no whole number.
func (o *Options) Set(assignment string) error {
	name, text, _ := strings.Cut(assignment, "=")
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not name=number", assignment)
	}
	found := false
	o.fields(func(n string, v reflect.Value) {
		if n == name {
			found = true
			v.SetInt(value)
		}
	})
	if !found {
		return fmt.Errorf("there is no option %q", name)
	}
	return nil
}

// Flags are the arguments of tools/sim that give these options again.
func (o Options) Flags() []string {
	out := []string{"--seed", strconv.FormatUint(o.Seed, 10), "--time", strconv.FormatFloat(float64(o.Millis)/1000, 'f', -1, 64)}
	drawn := map[string]int64{}
	d := Draw(o.Seed, o.Millis)
	d.fields(func(name string, v reflect.Value) { drawn[name] = v.Int() })
	var without []string
	o.fields(func(name string, v reflect.Value) {
		switch n := v.Int(); {
		case n == drawn[name]:
		case n == 0:
			without = append(without, name)
		default:
			out = append(out, "--set", fmt.Sprintf("%s=%d", name, n))
		}
	})
	if without != nil {
		out = append(out, "--without", strings.Join(without, ","))
	}
	return out
}
