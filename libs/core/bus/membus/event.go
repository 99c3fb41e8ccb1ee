package membus

// event is a batch that arrives, or, without data, the news that the node
// `from` is lost. Those of one time arrive in the order in which they were sent.
type event struct {
	at   int64
	seq  uint64
	from uint64
	to   *Node
	data []byte
}

// events is a heap.Interface ordered by (at, seq).
type events []event

func (e events) Len() int      { return len(e) }
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }

func (e events) Less(i, j int) bool {
	if e[i].at != e[j].at {
		return e[i].at < e[j].at
	}
	return e[i].seq < e[j].seq
}

func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = event{}
	*e = (*e)[:last]
	return x
}
