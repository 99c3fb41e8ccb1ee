package lease

// queue is a binary heap of timers by deadline. The deadlines stand in it, so
// that ordering it does not fetch the timers.
type queue []slot

type slot struct {
	deadline int64 // lease time, nanoseconds
	timer    *timer
}

func (q *queue) push(t *timer, deadline int64) {
	t.place = len(*q)
	*q = append(*q, slot{deadline, t})
	q.up(t.place)
}

func (q *queue) remove(t *timer) {
	i, last := t.place, len(*q)-1
	moved := (*q)[last]
	(*q)[last] = slot{}
	if *q = (*q)[:last]; i != last {
		q.put(i, moved)
		q.settle(i)
	}
}

// move gives a timer another deadline.
func (q queue) move(t *timer, deadline int64) {
	q[t.place].deadline = deadline
	q.settle(t.place)
}

// order makes a heap of any slots.
func (q queue) order() {
	for i := len(q)/2 - 1; i >= 0; i-- {
		q.down(i)
	}
}

func (q queue) settle(i int) {
	if t := q[i].timer; !q.up(i) {
		q.down(t.place)
	}
}

func (q queue) up(i int) (moved bool) {
	s := q[i]
	for i > 0 {
		parent := (i - 1) / 2
		if q[parent].deadline <= s.deadline {
			break
		}
		q.put(i, q[parent])
		i, moved = parent, true
	}
	q.put(i, s)
	return moved
}

func (q queue) down(i int) {
	s := q[i]
	for {
		child := 2*i + 1
		if child >= len(q) {
			break
		}
		if child+1 < len(q) && q[child+1].deadline < q[child].deadline {
			child++
		}
		if q[child].deadline >= s.deadline {
			break
		}
		q.put(i, q[child])
		i = child
	}
	q.put(i, s)
}

func (q queue) put(i int, s slot) {
	q[i] = s
	s.timer.place = i
}
