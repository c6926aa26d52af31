// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sort"
	"syscall"
	"time"

	"go-micro.dev/v5/registry"
)

// service is a line of reg's output.
type service struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Nodes   []node `json:"nodes"`
}

type node struct {
	ID       string            `json:"id"`
	Address  string            `json:"address"`
	Metadata map[string]string `json:"metadata"`
}

func printService(s *registry.Service) {
	line := service{Name: s.Name, Version: s.Version, Nodes: []node{}}
	for _, n := range s.Nodes {
		line.Nodes = append(line.Nodes, node{ID: n.Id, Address: n.Address, Metadata: n.Metadata})
	}
	sort.Slice(line.Nodes, func(i, j int) bool { return line.Nodes[i].ID < line.Nodes[j].ID })
	printJSON(line)
}

// reg shows the registry, or puts a service into it until a signal comes.
func reg(args []string) {
	flags := flag.NewFlagSet("reg", flag.ExitOnError)
	version := flags.String("version", "1.0.0", "register: version")
	id := flags.String("id", "", "register: node id; none: NAME-1")
	ttl := flags.Duration("ttl", 60*time.Second, "register: time to live")
	readyFD := flags.Int("ready-fd", -1, "descriptor to tell when registered, or watching")
	meta := pairs{}
	flags.Var(meta, "meta", "register: k=v, may be given again")
	flags.Parse(args)
	word := func(i int) string {
		if flags.NArg() <= i {
			fmt.Fprintln(os.Stderr, "usage: gm reg [options] list | get NAME | watch | register NAME ADDRESS")
			os.Exit(2)
		}
		return flags.Arg(i)
	}

	command := word(0)
	r := newService("go.micro.test.reg").Options().Registry
	switch command {
	case "list":
		list, err := r.ListServices()
		must(err)
		var names []string
		for _, s := range list {
			names = append(names, s.Name)
		}
		sort.Strings(names)
		for _, name := range names {
			fmt.Fprintln(stdout, name)
		}
	case "get":
		found, err := r.GetService(word(1))
		must(err)
		for _, s := range found {
			printService(s)
		}
	case "watch":
		w, err := r.Watch()
		must(err)
		ready(*readyFD)
		for {
			res, err := w.Next()
			must(err)
			fmt.Fprint(stdout, res.Action, " ")
			printService(res.Service)
		}
	case "register":
		name := word(1)
		if *id == "" {
			*id = name + "-1"
		}
		s := &registry.Service{Name: name, Version: *version,
			Nodes: []*registry.Node{{Id: *id, Address: word(2), Metadata: meta}}}
		must(r.Register(s, registry.RegisterTTL(*ttl)))
		ready(*readyFD)
		sig := make(chan os.Signal, 1)
		signal.Notify(sig, syscall.SIGINT, syscall.SIGTERM)
		<-sig
		must(r.Deregister(s))
	default:
		word(99)
	}
}
