# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# MQTT 5 by Artemis, which tests/setup/artemis fetches. No dots in topics, no Unix
# socket.
. "$MBUS_TEST_ROOT/tests/battery/brokers/mqtt5.bash"
LACKS+=' unix'
TOPICS=(t t/a/b t-a_b 'ünï·cødé' "$(printf 'long%.0s' {1..40})")

topic() { echo "t${BATS_TEST_NUMBER:-0}x$RANDOM"; }

serve() {
	local name=$1 port=$2 kind=$3 c=$BATS_FILE_TMPDIR/${4-srv} jars tls='' secure=false persist=false p read=read write=write

	jars=$(echo "${MBUS_CACHE:-$MBUS_TEST_ROOT/.cache}"/artemis-*/)
	mkdir -p "$name.d"
	case $kind in
	tls | mtls)
		openssl pkcs12 -export -in "$c.crt" -inkey "$c.key" -name s -out "$name.p12" -passout pass:changeit
		tls=";sslEnabled=true;keyStorePath=$PWD/$name.p12;keyStorePassword=changeit;keyStoreType=PKCS12"
		if [ "$kind" = mtls ]; then
			[ -e ca.p12 ] || keytool -importcert -noprompt -alias ca -file "$BATS_FILE_TMPDIR/ca.crt" \
				-keystore ca.p12 -storetype PKCS12 -storepass changeit 2> keytool.err
			tls+=";needClientAuth=true;trustStorePath=$PWD/ca.p12;trustStorePassword=changeit;trustStoreType=PKCS12"
		fi
		;;
	users) secure=true ;;
	forbidden) secure=true read=none write=none ;;
	durable) persist=true ;;
	esac
	{
		echo '<configuration xmlns="urn:activemq"><core xmlns="urn:activemq:core">'
		echo "<name>$name</name><persistence-enabled>$persist</persistence-enabled>"
		echo "<security-enabled>$secure</security-enabled>"
		for p in bindings journal large-messages paging; do
			echo "<$p-directory>$PWD/$name.d/$p</$p-directory>"
		done
		echo '<journal-type>NIO</journal-type>'
		echo "<acceptors><acceptor name=\"mqtt\">tcp://127.0.0.1:$port?protocols=MQTT$tls</acceptor></acceptors>"
		echo '<security-settings><security-setting match="#">'
		for p in createAddress createNonDurableQueue deleteNonDurableQueue createDurableQueue deleteDurableQueue consume browse; do
			echo "<permission type=\"$p\" roles=\"all,read\"/>"
		done
		echo '<permission type="send" roles="all,write"/>'
		echo '</security-setting></security-settings></core></configuration>'
	} > "$name.xml"
	start "$name" java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$jars*" Artemis "$name.xml" \
		mbus:secret:all reader:reader:$read writer:writer:$write
	wait_for -t 30 grep -q '^up' "$name.out"
}
