package fanout

// Bounds of a replica.
const (
	// MaxQueueEvents and MaxQueueBytes bound the events that wait to be
	// published, and with them the largest revision that is held until it is
	// complete. Room tells when they are reached; one page of the feed may
	// go beyond.
	MaxQueueEvents = 1 << 17
	MaxQueueBytes  = 32 << 20
	// MaxPrefixes bounds the prefixes and keys whose last position is known.
	MaxPrefixes = 1 << 18
	// MaxTails bounds the prefixes and keys that get a tail in one beat.
	MaxTails = 1 << 17
	// BatchMessages and BatchBytes bound a batch, and so what is published on
	// one check of the grant. A batch goes beyond BatchBytes by one message.
	BatchMessages = 64
	BatchBytes    = 256 << 10
	// WindowBytes is the default of the window's size in memory, WindowEvents
	// the most events it holds.
	WindowBytes  = 64 << 20
	WindowEvents = 1 << 20
	// eventOverheadBytes is what an event takes in memory beside key and value.
	eventOverheadBytes = 256
)

// Limits bounds a Publisher. The zero value of a field is the constant above.
type Limits struct {
	QueueEvents  int
	QueueBytes   int
	Prefixes     int
	Tails        int
	Batch        int // messages
	WindowBytes  int
	WindowEvents int
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&l.QueueEvents, MaxQueueEvents}, {&l.QueueBytes, MaxQueueBytes}, {&l.Prefixes, MaxPrefixes},
		{&l.Tails, MaxTails}, {&l.Batch, BatchMessages}, {&l.WindowBytes, WindowBytes}, {&l.WindowEvents, WindowEvents},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return l
}
