/* The edu device through its cdev and iommufd.   edu-cdev 0000:00:04.0 */
#include "client.h"
#include "edu.h"

int main(int argc, char **argv)
{
	struct device d;

	client_start();
	device_find(&d, argc > 1 ? argv[1] : "0000:00:04.0");
	device_open_cdev(&d);
	edu_session(&d);
	return client_status();
}
