// SPDX-License-Identifier: Apache-2.0

import java.io.File;
import org.apache.activemq.artemis.core.config.impl.SecurityConfiguration;
import org.apache.activemq.artemis.core.server.embedded.EmbeddedActiveMQ;
import org.apache.activemq.artemis.spi.core.security.ActiveMQJAASSecurityManager;
import org.apache.activemq.artemis.spi.core.security.jaas.InVMLoginModule;

/** Artemis broker.xml [NAME:PASSWORD:ROLE]...: a broker, until it is killed. */
public class Artemis {
	public static void main(String[] args) throws Exception {
		EmbeddedActiveMQ broker = new EmbeddedActiveMQ();
		SecurityConfiguration users = new SecurityConfiguration();

		broker.setConfigResourcePath(new File(args[0]).toURI().toString());
		for (int i = 1; i < args.length; i++) {
			String[] user = args[i].split(":");
			users.addUser(user[0], user[1]);
			users.addRole(user[0], user[2]);
		}
		broker.setSecurityManager(new ActiveMQJAASSecurityManager(
			InVMLoginModule.class.getName(), users));
		broker.start();
		System.out.println("up");
		Thread.currentThread().join();
	}
}
