package badgerstore

import (
	"reflect"
	"unsafe"

	"github.com/dgraph-io/badger/v4"
)

// releaseBuffers lets go of the memory in which tables were built. Badger
// keeps up to eight such buffers of each database, as large as the largest
// table that was ever built in them, and gives one of them back in two seconds
// in which it builds nothing: a database under load keeps them all.
//
// Their pool is a field that Badger does not export. They are taken out of it as
// Badger itself does, through its channel. TestBuffersAreReleased fails when a
// later Badger has no such field, and this then does nothing.
func releaseBuffers(db *badger.DB) {
	spare := field(field(reflect.ValueOf(db), "allocPool"), "allocCh")
	if spare.Kind() != reflect.Chan {
		return
	}
	for {
		buffer, ok := spare.TryRecv()
		if !ok {
			return
		}
		buffer.MethodByName("Release").Call(nil)
	}
}

// field is a field of the struct that v points to; the zero Value if there is
// none.
func field(v reflect.Value, name string) reflect.Value {
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}
	}
	f := v.Elem().FieldByName(name)
	if !f.IsValid() {
		return f
	}
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
}
