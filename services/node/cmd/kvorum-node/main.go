// Command kvorum-node runs a storage node.
package main

import (
	"github.com/kvorum/kvorum/libs/svc"
	"github.com/kvorum/kvorum/services/node"
)

func main() { svc.Main("kvorum-node", node.Main) }
