// SPDX-License-Identifier: Apache-2.0

// An email service as go-micro's tutorials write it, with go-micro's defaults:
// events over http, found through mdns. It greets every new user, and says so:
//
//	user.registered  {"name": "ann", "email": "ann@example.org"}   is heard
//	email.sent       {"to": "ann@example.org", "subject": ...}     is published
//
// See run, beside this file, and the README.
package main

import (
	"context"
	"fmt"
	"log"

	"go-micro.dev/v5"
)

type User struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

type Mail struct {
	To      string `json:"to"`
	Subject string `json:"subject"`
}

func main() {
	service := micro.NewService(micro.Name("email"))
	service.Init()
	sent := micro.NewEvent("email.sent", service.Client())

	greet := func(ctx context.Context, u *User) error {
		fmt.Printf("user.registered: %s <%s>\n", u.Name, u.Email)
		return sent.Publish(ctx, &Mail{To: u.Email, Subject: "Welcome, " + u.Name})
	}
	if err := micro.RegisterSubscriber("user.registered", service.Server(), greet); err != nil {
		log.Fatal(err)
	}
	if err := service.Run(); err != nil {
		log.Fatal(err)
	}
}
