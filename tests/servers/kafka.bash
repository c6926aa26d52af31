# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
#
# A real Apache Kafka for a test: one process that is broker and controller, on ports
# and in a folder of the test's. tests/setup/kafka has fetched it, made a formatted
# data folder to copy and an archive of the classes it loads: it serves after a second.
#
# Sourced, by bats files and by tests/setup/kafka, with ROOT set:
#
#	kafka_files DIR VERSION LISTENER...	writes its files to DIR (absolute), and
#				sets kafka_command, which becomes the server
#	kafka_serves PORT	it serves there; PORT is of a plain listener
#
# LISTENER is KIND:PORT, or KIND:PORT:TOLD if clients are to be told another port than
# the one it listens at (tests/tools/relay is there), or KIND:PORT:TOLD:HOST and another
# host. KIND: plain, tls, mtls (wants a
# certificate of ours), sasl, sasl-tls. The first one is plain: the server itself and
# tests/tools/kafka_admin use it.
#
# Users: mbus, secret may all, as may who comes by a plain listener; reader, reader;
# writer, writer; by PLAIN and by SCRAM-SHA-256 and -512. KAFKA_ACL=true: the others may
# nothing until it is allowed; else they may all that no list of a topic denies.
# KAFKA_TLS=PATH: PATH.key and PATH.crt are the server's certificate, and ca.crt beside
# it is whom it trusts. KAFKA_AT=[::1]: where all but the first listen. KAFKA_MORE: lines for its properties.

# The newest; and the last with which Debian's librdkafka (before 2.6.1) can do SCRAM,
# and with which go-micro's kafka plugins can do groups.
KAFKA_NEW=4.3.1
KAFKA_OLD=3.9.2
KAFKA_HEAP=256m

kafka_properties() {
	local dir=$1 l kind port told host list='' tell='' map='' auth='' inner='' n=0 at=127.0.0.1

	shift
	for l; do
		IFS=: read -r kind port told host <<< "$l"
		n=$((n + 1))
		inner=${inner:-$port}
		[ $n = 1 ] || at=${KAFKA_AT:-127.0.0.1}
		list+="L$n://$at:$port,"
		tell+="L$n://${host:-$at}:${told:-$port},"
		case $kind in
		plain) map+="L$n:PLAINTEXT," ;;
		tls) map+="L$n:SSL," ;;
		mtls) map+="L$n:SSL," auth+="listener.name.l$n.ssl.client.auth=required"$'\n' ;;
		sasl) map+="L$n:SASL_PLAINTEXT," ;;
		sasl-tls) map+="L$n:SASL_SSL," ;;
		esac
		case $kind in
		sasl*)
			l=listener.name.l$n.
			auth+="${l}plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required"
			auth+=' user_mbus="secret" user_reader="reader" user_writer="writer";'$'\n'
			auth+="${l}scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"$'\n'
			auth+="${l}scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"$'\n'
			;;
		esac
	done
	cat <<-END
		process.roles=broker,controller
		node.id=1
		controller.quorum.voters=1@127.0.0.1:$((inner + 1000))
		controller.listener.names=CONTROLLER
		listeners=${list}CONTROLLER://127.0.0.1:$((inner + 1000))
		advertised.listeners=${tell%,}
		listener.security.protocol.map=${map}CONTROLLER:PLAINTEXT
		inter.broker.listener.name=L1
		log.dirs=$dir/data
		sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
		authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
		super.users=User:ANONYMOUS;User:mbus
		allow.everyone.if.no.acl.found=$([ "${KAFKA_ACL-}" ] && echo false || echo true)
		auto.create.topics.enable=true
		message.max.bytes=33554432
		replica.fetch.max.bytes=33554432
		offsets.topic.replication.factor=1
		offsets.topic.num.partitions=1
		transaction.state.log.replication.factor=1
		transaction.state.log.min.isr=1
		transaction.state.log.num.partitions=1
		share.coordinator.state.topic.replication.factor=1
		share.coordinator.state.topic.min.isr=1
		group.initial.rebalance.delay.ms=0
		group.min.session.timeout.ms=100
		broker.session.timeout.ms=3000
		broker.heartbeat.interval.ms=300
		num.network.threads=1
		num.io.threads=2
		log.cleaner.dedupe.buffer.size=2097152
		${auth}
	END
	if [ "${KAFKA_TLS-}" ]; then
		cat "$KAFKA_TLS.key" "$KAFKA_TLS.crt" > "$dir/own.pem"
		cat <<-END
			ssl.keystore.type=PEM
			ssl.keystore.location=$dir/own.pem
			ssl.truststore.type=PEM
			ssl.truststore.location=${KAFKA_TLS%/*}/ca.crt
		END
	fi
	printf '%s\n' "${KAFKA_MORE-}"
}

# kafka_home VERSION: sets kafka_dir and kafka_java, what runs any class of it.
kafka_home() {
	local jar

	kafka_dir=$(readlink -f "${KAFKA_HOME:-$ROOT/build/kafka/$1}")
	[ -d "$kafka_dir/lib" ] || { echo "Kafka $1 is not there: make programs" >&2; return 1; }
	# In this order, and by these paths, or the class archive is not of use.
	kafka_path=
	for jar in "$kafka_dir"/lib/*.jar; do kafka_path+=$jar:; done
	kafka_java=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xms128m "-Xmx$KAFKA_HEAP" -XX:-UsePerfData)
}

kafka_files() {
	local dir=$1 archive

	kafka_home "$2" || return
	mkdir -p "$dir"
	kafka_properties "$dir" "${@:3}" > "$dir/server.properties"
	printf '%s\n' rootLogger.level=warn rootLogger.appenderRef.f.ref=F appender.f.type=File appender.f.name=F \
		"appender.f.fileName=$dir/kafka.log" appender.f.layout.type=PatternLayout \
		'appender.f.layout.pattern=%d{ABSOLUTE} %p %c{1} %m%n' > "$dir/log4j2.properties"
	# 3.9 has an appender of its own kind besides.
	echo log4j.rootLogger=OFF > "$dir/log4j1.properties"
	[ -d "$dir/data" ] || [ ! -d "$kafka_dir/data" ] || cp -r "$kafka_dir/data" "$dir/data"
	archive=$(echo "$kafka_dir"/classes-*.jsa)
	if [ -e "$archive" ]; then kafka_java+=("-XX:SharedArchiveFile=$archive" -Xshare:auto); fi
	kafka_command=("${kafka_java[@]}" "-Dlog4j2.configurationFile=$dir/log4j2.properties"
		"-Dlog4j.configuration=file:$dir/log4j1.properties" -cp "$kafka_path"
		kafka.Kafka "$dir/server.properties")
}

# The port first: kcat waits long for one that is not there yet.
kafka_serves() {
	# shellcheck disable=SC2016
	bash -c 'exec 3<> "/dev/tcp/127.0.0.1/$0"' "$1" 2> /dev/null &&
		kcat -q -L -b "127.0.0.1:$1" -m 2 2> /dev/null | grep -q 'broker 1 at'
}
