// Command kvorum-watch runs a replica of the watch fan-out.
package main

import (
	"github.com/kvorum/kvorum/libs/svc"
	"github.com/kvorum/kvorum/services/watch"
)

func main() { svc.Main("kvorum-watch", watch.Main) }
