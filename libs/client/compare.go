package client

import (
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/client/watchstate"
)

// Compare is a condition on a key. A key that does not exist has 0 for every
// number and no value: no comparison of its value holds.
type Compare struct {
	compare *kvpb.Compare
}

// Number is a number of a key, to be compared.
type Number struct {
	target        kvpb.Compare_Target
	key, rangeEnd []byte
}

// CreateRevision is the revision that created the key; equal to 0 where it does
// not exist.
func CreateRevision(key string) Number { return number(kvpb.Compare_CREATE, key) }

// ModRevision is the revision of the key's last put.
func ModRevision(key string) Number { return number(kvpb.Compare_MOD, key) }

// Version counts the key's puts since its creation.
func Version(key string) Number { return number(kvpb.Compare_VERSION, key) }

// LeaseOf is the lease that the key is attached to, 0 for none.
func LeaseOf(key string) Number { return number(kvpb.Compare_LEASE, key) }

// LockHeld holds while the lock or leadership of that name is held under that
// fence. With it, a write of a holder that was overtaken is refused, whatever
// the holder believes. A fence of 0 holds while nobody has the name.
func LockHeld(name string, fence int64) Compare {
	return number(kvpb.Compare_LOCK, name).Equal(fence)
}

func number(target kvpb.Compare_Target, key string) Number {
	return Number{target: target, key: []byte(key)}
}

// Every makes the condition one on every key that begins with the key given.
func (n Number) Every() Number {
	n.rangeEnd = watchstate.PrefixEnd(n.key)
	return n
}

// Equal holds where the number is v.
func (n Number) Equal(v int64) Compare { return n.is(kvpb.Compare_EQUAL, v) }

// NotEqual holds where the number is not v.
func (n Number) NotEqual(v int64) Compare { return n.is(kvpb.Compare_NOT_EQUAL, v) }

// Greater holds where the number is above v.
func (n Number) Greater(v int64) Compare { return n.is(kvpb.Compare_GREATER, v) }

// Less holds where the number is below v.
func (n Number) Less(v int64) Compare { return n.is(kvpb.Compare_LESS, v) }

func (n Number) is(result kvpb.Compare_Result, v int64) Compare {
	return Compare{&kvpb.Compare{Result: result, Target: n.target, Key: n.key, RangeEnd: n.rangeEnd, Number: v}}
}

// Bytes is the value of a key, to be compared bytewise.
type Bytes struct {
	key, rangeEnd []byte
}

// Value is the value of a key.
func Value(key string) Bytes { return Bytes{key: []byte(key)} }

// Every makes the condition one on every key that begins with the key given.
func (b Bytes) Every() Bytes {
	b.rangeEnd = watchstate.PrefixEnd(b.key)
	return b
}

// Equal holds where the value is v.
func (b Bytes) Equal(v []byte) Compare { return b.is(kvpb.Compare_EQUAL, v) }

// NotEqual holds where the value is not v.
func (b Bytes) NotEqual(v []byte) Compare { return b.is(kvpb.Compare_NOT_EQUAL, v) }

// Greater holds where the value sorts after v.
func (b Bytes) Greater(v []byte) Compare { return b.is(kvpb.Compare_GREATER, v) }

// Less holds where the value sorts before v.
func (b Bytes) Less(v []byte) Compare { return b.is(kvpb.Compare_LESS, v) }

func (b Bytes) is(result kvpb.Compare_Result, v []byte) Compare {
	return Compare{&kvpb.Compare{Result: result, Target: kvpb.Compare_VALUE, Key: b.key, RangeEnd: b.rangeEnd, Value: v}}
}
