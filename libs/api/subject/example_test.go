package subject_test

import (
	"fmt"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/subject"
)

func Example() {
	tokens, _ := subject.Encode([]byte("/registry/pods/default/web-1.2"))
	fmt.Println(api.SubjectGet + tokens)

	key, rangeEnd, _ := subject.DecodePrefix("registry.pods")
	fmt.Printf("[%s, %s)\n", key, rangeEnd)

	_, err := subject.Decode("a b")
	fmt.Println(err)
	// Output:
	// kv.get.registry.pods.default.web-1%2E2
	// [/registry/pods/, /registry/pods0)
	// bad_key: key "a b" is not in canonical form: write "a%20b"
}
