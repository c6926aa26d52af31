// SPDX-License-Identifier: Apache-2.0

// Gm is the go-micro side of the tests: the small programs that a reader of
// go-micro's tutorials writes, in one binary, because linking go-micro takes
// longer than everything else.
//
//	gm pub    publishes on a ticker, with the header id
//	gm sub    prints every event, one JSON object a line
//	gm user   a service that publishes user.registered
//	gm email  a service that reacts to it
//	gm serve  a service that greets, and gm call, its client
//	gm reg    the registry: list, get NAME, watch, register NAME ADDR
//
// The source is written for go-micro v5. ../build makes the other release
// lines from it by changing the import path, and what little was called by
// another name.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"go-micro.dev/v5"
)

// stdout is for results alone: some releases of go-micro log to os.Stdout.
var stdout = os.Stdout

// newService makes a service with go-micro's defaults and its environment. The
// command line is ours, so go-micro is shown an empty one.
func newService(name string, opts ...micro.Option) micro.Service {
	os.Args = os.Args[:1]
	svc := micro.NewService(append([]micro.Option{micro.Name(name)}, opts...)...)
	svc.Init()
	return svc
}

// must ends the program on an error.
func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "gm:", err)
		os.Exit(1)
	}
}

// printJSON writes v as one line.
func printJSON(v interface{}) {
	enc := json.NewEncoder(stdout)
	enc.SetEscapeHTML(false)
	must(enc.Encode(v))
}

// ready tells who started us that events will now be seen.
func ready(fd int) {
	if fd < 0 {
		return
	}
	f := os.NewFile(uintptr(fd), "ready")
	f.WriteString("ready\n")
	f.Close()
}

// pairs is a flag that can be given again: k=v.
type pairs map[string]string

func (p pairs) String() string { return "" }

func (p pairs) Set(s string) error {
	k, v, ok := strings.Cut(s, "=")
	if !ok {
		return fmt.Errorf("%q is not k=v", s)
	}
	p[k] = v
	return nil
}

func main() {
	commands := map[string]func([]string){
		"pub": pub, "sub": sub, "user": user, "email": email, "serve": serve, "call": call, "reg": reg,
	}
	if len(os.Args) > 1 {
		if run := commands[os.Args[1]]; run != nil {
			os.Stdout = os.Stderr
			run(os.Args[2:])
			return
		}
	}
	fmt.Fprintln(os.Stderr, "usage: gm pub|sub|user|email|reg [options]")
	os.Exit(2)
}
