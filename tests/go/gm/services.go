// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"strconv"
	"time"

	"go-micro.dev/v5"
	"go-micro.dev/v5/client"
	"go-micro.dev/v5/metadata"
	"go-micro.dev/v5/server"
)

// userTopic is where the two services meet.
const userTopic = "user.registered"

// User is the payload. A plain struct sent as JSON is what the services of all
// release lines can read.
type User struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

// user is the service that has new users, n of them.
func user(args []string) {
	flags := flag.NewFlagSet("user", flag.ExitOnError)
	n := flags.Int("n", 1, "users")
	interval := flags.Duration("interval", 10*time.Millisecond, "time between two users")
	linger := flags.Duration("linger", 200*time.Millisecond, "time before the end: Publish is asynchronous")
	flags.Parse(args)

	svc := newService("go.micro.test.user")
	must(svc.Client().Init(client.ContentType("application/json")))
	registered := micro.NewEvent(userTopic, svc.Client())
	for i := 0; i < *n; i++ {
		if i > 0 {
			time.Sleep(*interval)
		}
		ctx := metadata.NewContext(context.Background(), metadata.Metadata{"id": strconv.Itoa(i)})
		must(registered.Publish(ctx, &User{ID: i, Name: "ann", Email: "ann@example.org"}))
	}
	time.Sleep(*linger)
}

// mail is a line of email's output.
type mail struct {
	To     string `json:"to"`
	User   int    `json:"user"`
	Header string `json:"header_id"`
}

// email is the service that writes to them.
func email(args []string) {
	flags := flag.NewFlagSet("email", flag.ExitOnError)
	queue := flags.String("queue", "", "queue to share the users with")
	readyFD := flags.Int("ready-fd", -1, "descriptor to tell when subscribed")
	flags.Parse(args)

	svc := newService("go.micro.test.email", micro.AfterStart(func() error {
		ready(*readyFD)
		return nil
	}))
	var opts []server.SubscriberOption
	if *queue != "" {
		opts = append(opts, server.SubscriberQueue(*queue))
	}
	must(micro.RegisterSubscriber(userTopic, svc.Server(), func(ctx context.Context, u *User) error {
		id, _ := metadata.Get(ctx, "id")
		printJSON(mail{To: u.Email, User: u.ID, Header: id})
		return nil
	}, opts...))
	must(svc.Run())
}
